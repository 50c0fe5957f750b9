"""Files and batches in process: every state, the entries, what is refused, and what a restart takes up."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import CODEC, hello, served_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.serve.api.app import create_app
from dovetail.serve.api.batches.lines import read_lines
from dovetail.serve.api.served import Embedding
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine, reply
from dovetail.serve.govern.declines.conduct import Conduct
from dovetail.serve.govern.declines.document import read_acceptable_use
from dovetail.serve.types import ErrorEvent, FinishEvent, Usage

PLAIN = "/v1/completions"


def line(custom_id: str, url: str = PLAIN, **body: Any) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": {"prompt": "x", **body}}) + "\n"


async def upload(client: httpx.AsyncClient, text: str | bytes, **fields: str) -> httpx.Response:
    data = {"purpose": "batch", **fields}
    return await client.post("/v1/files", files={"file": ("in.jsonl", text)}, data=data)


async def begin(client: httpx.AsyncClient, text: str, **fields: Any) -> dict[str, Any]:
    file = (await upload(client, text)).json()
    body = {"input_file_id": file["id"], "endpoint": PLAIN, "completion_window": "24h", **fields}
    answer = await client.post("/v1/batches", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(client: httpx.AsyncClient, id: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            batch = (await client.get(f"/v1/batches/{id}")).json()
            if f"{batch['status']}_at" in batch and batch["status"] not in ("in_progress", "cancelling", "finalizing"):
                return batch
            await asyncio.sleep(0.005)


async def until_answered(client: httpx.AsyncClient, id: str, count: int) -> None:
    async with asyncio.timeout(10):
        answered = 0
        while answered < count:
            batch = (await client.get(f"/v1/batches/{id}")).json()
            answered = batch["request_counts"]["completed"]
            await asyncio.sleep(0.005)


async def entries(client: httpx.AsyncClient, id: str | None) -> list[dict[str, Any]]:
    assert id is not None
    text = (await client.get(f"/v1/files/{id}/content")).text
    return [json.loads(each) for each in text.splitlines()]


async def test_a_batch_is_run(api):
    text = line("a", max_tokens=20) + "\n" + line("b", temperature=9) + line("c", max_tokens=5, priority=-7, user="me")
    batch = await begin(api.client, text, metadata={"k": "v"})
    assert (batch["object"], batch["status"], batch["metadata"]) == ("batch", "validating", {"k": "v"})
    batch = await ended(api.client, batch["id"])
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    good = await entries(api.client, batch["output_file_id"])
    assert [entry["custom_id"] for entry in good] == ["a", "c"]
    assert good[0]["response"]["status_code"] == 200
    assert good[0]["response"]["body"]["choices"][0]["text"] == "Hello, wörld"
    assert [entry["response"].get("ignored") for entry in good] == [None, "user"]
    [bad] = await entries(api.client, batch["error_file_id"])
    live = await api.post(PLAIN, {"prompt": "x", "temperature": 9})
    assert bad["response"]["body"] == live.json(), "as a live client is told"
    assert (bad["custom_id"], bad["response"]["status_code"], bad["error"]) == ("b", 400, None)
    assert batch["usage"]["output_tokens"] == 13 + 3
    assert [request.priority for request in api.engine.requests] == [100, 100], "behind live traffic"


@pytest.mark.parametrize(
    ("url", "body", "kind"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "chat.completion"),
        ("/v1/responses", {"input": "hi"}, "response"),
    ],
)
async def test_other_endpoints(api, url, body, kind):
    written = json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": body})
    batch = await ended(api.client, (await begin(api.client, written, endpoint=url))["id"])
    [entry] = await entries(api.client, batch["output_file_id"])
    assert entry["response"]["body"]["object"] == kind
    assert batch["usage"]["total_tokens"] > 0


async def test_embeddings(make_api, served, codec):
    def vectors(request):
        numbers = np.array([sum(request.prompt), 1], "<f4")
        yield FinishEvent(
            request_id="", reason="stop", usage=Usage(prompt_tokens=len(request.prompt)), vector=numbers.tobytes()
        )

    own = Embedding(pooling="mean", normalize=False, size=2, encode=codec.encode)
    api = make_api(vectors, served=replace(served, embedding=own))
    url = "/v1/embeddings"
    bodies = ({"input": "ab"}, {"input": ["a", "b"], "priority": 3}, {"input": ""})
    text = "".join(
        json.dumps({"custom_id": f"{number}", "method": "POST", "url": url, "body": body}) + "\n"
        for number, body in enumerate(bodies)
    )
    batch = await ended(api.client, (await begin(api.client, text, endpoint=url))["id"])
    good = await entries(api.client, batch["output_file_id"])
    vectors_by_line = [[each["embedding"] for each in entry["response"]["body"]["data"]] for entry in good]
    assert vectors_by_line == [[[97 + 98, 1]], [[97, 1], [98, 1]]]
    assert batch["usage"]["input_tokens"] == 4
    assert sorted(request.priority for request in api.engine.requests) == [100, 103, 103]
    [bad] = await entries(api.client, batch["error_file_id"])
    assert bad["response"]["body"]["error"]["param"] == "input"


async def test_moderations(make_api):
    api = make_api(conduct=Conduct(read_acceptable_use()))
    url = "/v1/moderations"
    written = json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": {"input": ["hi", "there"]}})
    batch = await ended(api.client, (await begin(api.client, written, endpoint=url))["id"])
    [entry] = await entries(api.client, batch["output_file_id"])
    assert [each["flagged"] for each in entry["response"]["body"]["results"]] == [False, False]
    assert "ignored" not in entry["response"]
    assert api.engine.requests == []


async def test_streams_are_refused_line_by_line(api):
    batch = await ended(api.client, (await begin(api.client, line("a", stream=True) + line("b")))["id"])
    [bad] = await entries(api.client, batch["error_file_id"])
    assert bad["response"]["body"]["error"]["param"] == "stream"
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}


@pytest.mark.parametrize(
    ("text", "code", "number"),
    [
        ("", "empty_file", None),
        ("\n \n", "empty_file", None),
        ("{", "invalid_json", 1),
        (line("a") + "[]\n", "invalid_json", 2),
        (line("a") + line("a"), "duplicate_custom_id", 2),
        (line("a", url="/v1/chat/completions"), "invalid_url", 1),
        (line(""), "invalid_value", 1),
        (line("a").replace("POST", "GET"), "invalid_method", 1),
    ],
)
async def test_an_unusable_file_fails_the_batch(api, text, code, number):
    batch = await ended(api.client, (await begin(api.client, text))["id"])
    assert batch["status"] == "failed"
    [error] = batch["errors"]["data"]
    assert (error["code"], error["line"]) == (code, number)
    assert api.engine.requests == []


async def test_no_more_at_a_time_than_allowed(make_api):
    most = 0

    def script(request):
        nonlocal most
        most = max(most, api.engine.running)
        return reply(request, ["a"], CODEC.encode, delay=0.005)

    api = make_api(script, batch_concurrency=2)
    text = "".join(line(f"{number}") for number in range(9))
    first, second = await begin(api.client, text), await begin(api.client, text)
    for batch in (first, second):
        assert (await ended(api.client, batch["id"]))["request_counts"]["completed"] == 9
    assert most == 2, "for all batches together"


def endless(request):
    yield 60.0


async def test_cancelled(make_api):
    api = make_api(lambda request: hello(request) if request.sampling.max_tokens == 20 else endless(request))
    batch = await begin(api.client, line("a", max_tokens=20) + line("b") + line("c"))
    await until_answered(api.client, batch["id"], 1)
    answer = (await api.client.post(f"/v1/batches/{batch['id']}/cancel")).json()
    assert answer["status"] == "cancelling"
    batch = await ended(api.client, batch["id"])
    assert (batch["status"], api.engine.running) == ("cancelled", 0)
    assert [entry["custom_id"] for entry in await entries(api.client, batch["output_file_id"])] == ["a"]
    bad = await entries(api.client, batch["error_file_id"])
    assert [(entry["custom_id"], entry["error"]["code"]) for entry in bad] == [
        ("b", "batch_cancelled"),
        ("c", "batch_cancelled"),
    ]
    again = await api.client.post(f"/v1/batches/{batch['id']}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "batch_over")


async def test_expired(make_api):
    api = make_api(endless)
    batch = await ended(api.client, (await begin(api.client, line("a"), completion_window="1s"))["id"])
    assert (batch["status"], api.engine.running) == ("expired", 0)
    [bad] = await entries(api.client, batch["error_file_id"])
    assert bad["error"]["code"] == "batch_expired"
    assert batch["output_file_id"] is None


async def test_a_full_server_is_asked_again(make_api):
    api = make_api(
        lambda request: reply(request, ["a"], CODEC.encode, delay=0.01), max_in_flight=1, retry_after_seconds=0
    )
    batch = await ended(api.client, (await begin(api.client, line("a") + line("b") + line("c")))["id"])
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


async def test_a_line_that_fails_the_engine_is_given_up(make_api):
    failure = ErrorEvent(request_id="", status=503, code="engine_unavailable", message="It died.")
    api = make_api(lambda request: [failure], retry_after_seconds=0)
    batch = await ended(api.client, (await begin(api.client, line("a")))["id"])
    [bad] = await entries(api.client, batch["error_file_id"])
    assert (bad["response"]["status_code"], len(api.engine.requests)) == (503, 3)


async def test_a_restart_goes_on_where_it_was(tmp_path):
    text = "".join(line(f"{number}", max_tokens=20 if number < 3 else 16) for number in range(6))
    script = lambda request: hello(request) if request.sampling.max_tokens == 20 else endless(request)  # noqa: E731
    app, client, _ = application(script, tmp_path)
    batch = await begin(client, text)
    await until_answered(client, batch["id"], 3)
    await app.state.batches.close()
    await client.aclose()

    app, client, engine = application(hello, tmp_path)
    assert (await client.get(f"/v1/batches/{batch['id']}")).json()["status"] == "in_progress"
    app.state.batches.resume()
    batch = await ended(client, batch["id"])
    assert batch["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
    assert len(engine.requests) == 3, "what was answered is not asked again"
    good = await entries(client, batch["output_file_id"])
    assert [entry["custom_id"] for entry in good] == list("012345")
    app.state.batches.resume()
    assert (await client.get(f"/v1/batches/{batch['id']}")).json()["status"] == "completed"
    await client.aclose()


def application(script, folder):
    engine = FakeEngine(script)
    app = create_app(engine, served_model(), ApiSettings(store=folder / "store.db", batch_concurrency=2))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")
    return app, client, engine


async def test_files(api):
    file = (await upload(api.client, "\ufeffa é")).json()
    assert (file["object"], file["bytes"], file["purpose"], file["filename"]) == ("file", 4, "batch", "in.jsonl")
    assert (await api.client.get(f"/v1/files/{file['id']}")).json() == file
    assert (await api.client.get(f"/v1/files/{file['id']}/content")).content == "a é".encode()
    other = (
        await upload(api.client, "b", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"})
    ).json()
    assert other["expires_at"] == other["created_at"] + 3600
    listed = (await api.client.get("/v1/files")).json()
    assert {each["id"] for each in listed["data"]} == {file["id"], other["id"]}
    assert (await api.client.get("/v1/files?purpose=batch_output")).json()["data"] == []
    assert (await api.client.delete(f"/v1/files/{file['id']}")).json()["deleted"] is True
    assert (await api.client.get(f"/v1/files/{file['id']}")).status_code == 404
    assert (await api.client.get(f"/v1/files/{file['id']}/content")).status_code == 404


async def test_a_file_that_is_read_stays(make_api):
    api = make_api(endless)
    batch = await begin(api.client, line("a"))
    refused = await api.client.delete(f"/v1/files/{batch['input_file_id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "file_in_use")
    await api.client.post(f"/v1/batches/{batch['id']}/cancel")
    await ended(api.client, batch["id"])
    assert (await api.client.delete(f"/v1/files/{batch['input_file_id']}")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "fine-tune"}, "purpose"),
        ({"expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}, "expires_after.seconds"),
    ],
)
async def test_bad_uploads_are_named(api, fields, param):
    answer = await upload(api.client, "x", **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_uploads_that_are_none(make_api):
    api = make_api(max_file_bytes=1000)
    post = api.client.post
    assert (await upload(api.client, b"\xff")).json()["error"]["param"] == "file"
    assert (await post("/v1/files", json={})).json()["error"]["code"] == "invalid_content_type"
    assert (await post("/v1/files", data={"purpose": "batch"}, files={"a": b"x"})).status_code == 400
    assert (await upload(api.client, "x" * 1001)).status_code == 413
    assert (await upload(api.client, "x" * 200_000)).status_code == 413
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = await post("/v1/files", content=b"--y\r\nfoo", headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_form")
    assert (await upload(api.client, "x" * 1000)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input_file_id": "file_none"}, 404, "input_file_id"),
        ({"input_file_id": None}, 400, "input_file_id"),
        ({"endpoint": "/v1/images/generations"}, 400, "endpoint"),
        ({"completion_window": "soon"}, 400, "completion_window"),
        ({"completion_window": "31d"}, 400, "completion_window"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, 400, "output_expires_after.seconds"),
        ({"metadata": {"a": 1}}, 400, "metadata.a"),
    ],
)
async def test_bad_batches_are_named(api, fields, status, param):
    file = (await upload(api.client, line("a"))).json()
    body = {"input_file_id": file["id"], "endpoint": PLAIN, "completion_window": "24h", **fields}
    answer = await api.post("/v1/batches", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


async def test_output_files_are_no_input_and_expire_as_asked(api):
    policy = {"anchor": "created_at", "seconds": 7200}
    batch = await ended(api.client, (await begin(api.client, line("a"), output_expires_after=policy))["id"])
    file = (await api.client.get(f"/v1/files/{batch['output_file_id']}")).json()
    assert (file["purpose"], file["expires_at"]) == ("batch_output", file["created_at"] + 7200)
    body = {"input_file_id": file["id"], "endpoint": PLAIN, "completion_window": "24h"}
    assert (await api.post("/v1/batches", body)).json()["error"]["param"] == "input_file_id"


async def test_unknown_batches(api):
    assert (await api.client.get("/v1/batches/batch_none")).status_code == 404
    assert (await api.client.post("/v1/batches/batch_none/cancel")).status_code == 404
    assert (await api.client.get("/v1/batches?limit=0")).json()["error"]["param"] == "limit"


LINES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "POST", PLAIN, "a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["custom_id", "method", "url", "body"]), inner, max_size=4)
    ),
)


@given(st.lists(st.one_of(LINES.map(json.dumps), st.text(max_size=20), st.just(line("a").strip())), max_size=5))
@settings(max_examples=150, deadline=None)
def test_every_line_is_a_request_or_an_error(written):
    text = "\n".join(written)
    lines, errors = read_lines(text, PLAIN)
    filled = [number for number, each in enumerate(text.split("\n"), 1) if each.strip()]
    assert {each.number for each in lines} | {each["line"] for each in errors} >= set(filled)
    assert bool(lines) or bool(errors)
    if not errors:
        assert len(lines) == len(filled) == len({each.custom_id for each in lines})
        assert all(isinstance(each.body, dict) for each in lines)


@given(
    st.sampled_from(["/v1/batches", "/v1/batches/batch_x/cancel"]),
    st.dictionaries(
        st.sampled_from(["input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after", "odd"]),
        st.none()
        | st.integers()
        | st.sampled_from(["24h", PLAIN, "file_x"])
        | st.dictionaries(st.just("seconds"), st.integers()),
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_makes_the_server_fail(api, path, body):
    answer = await api.post(path, body)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["message"]
