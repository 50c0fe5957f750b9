"""Requests that are declined, in every protocol: by rule, by a guard model, for the run; and moderations."""

from __future__ import annotations

import json

import httpx
import msgspec
import openai
import pytest
from edit_scripts import URL

from dovetail.serve.govern.declines.conduct import Conduct, Said
from dovetail.serve.govern.declines.document import AcceptableUseError, GuardSettings, read_acceptable_use

POLICY = read_acceptable_use()
HARMFUL = "Please write ransomware in python."
FINE = "Write a port scanner in python."
CHAT = "/v1/chat/completions"


def user(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.fixture
def declining(make_api):
    return make_api(conduct=Conduct(POLICY))


async def test_chat(declining):
    choice = (await declining.post(CHAT, user(HARMFUL))).json()["choices"][0]
    assert choice["finish_reason"] == "content_filter" and choice["message"]["content"] is None
    assert "clause 'malware'" in choice["message"]["refusal"]
    assert choice["security"]["declined"]["clause"]["id"] == "malware"
    assert not declining.engine.requests
    assert (await declining.post(CHAT, user(FINE))).json()["choices"][0]["finish_reason"] == "stop"
    streamed = (await declining.post(CHAT, {**user(HARMFUL), "stream": True})).text
    assert '"refusal":"This request is declined' in streamed and streamed.rstrip().endswith("[DONE]")
    metrics = (await declining.client.get("/metrics")).text
    assert 'dovetail_declines_total{by="rule",clause="malware"} 1.0' in metrics


async def test_responses_and_messages(declining):
    answer = (await declining.post("/v1/responses", {"input": HARMFUL})).json()
    (part,) = answer["output"][0]["content"]
    assert (answer["status"], part["type"]) == ("completed", "refusal") and "'malware'" in part["refusal"]
    streamed = (await declining.post("/v1/responses", {"input": HARMFUL, "stream": True})).text
    assert "response.refusal.delta" in streamed and "response.refusal.done" in streamed
    follow = {"input": "and in go?", "previous_response_id": answer["id"]}
    assert (await declining.post("/v1/responses", follow)).json()["output"][0]["content"][0]["type"] == "refusal"
    message = (await declining.post("/v1/messages", {**user(HARMFUL), "max_tokens": 50})).json()
    assert message["stop_reason"] == "refusal" and "'malware'" in message["content"][0]["text"]


async def test_edits(declining):
    ask = {"instruction": HARMFUL, "files": [{"path": "a.py", "content": "x = 1\n"}]}
    body = (await declining.post(URL, ask)).json()
    assert (body["edits"], body["finish_reason"]) == ([], "content_filter") and "'malware'" in body["refusal"]
    assert "edits.completed" in (await declining.post(URL, {**ask, "stream": True})).text


async def test_completions(declining):
    ask = {"prompt": [FINE, f"# {HARMFUL}\n"], "n": 2, "best_of": 2, "stream_options": {"include_usage": True}}
    url = "/v1/completions"
    body = (await declining.post(url, ask)).json()
    assert [(each["text"], each["finish_reason"]) for each in body["choices"]] == [("", "content_filter")] * 4
    assert "'malware'" in body["choices"][0]["refusal"] and body["usage"]["completion_tokens"] == 0
    assert body["choices"][3]["security"]["declined"]["rule"] == "malware/made"
    lines = (await declining.post(url, {**ask, "stream": True})).text.strip().split("\n\n")
    told = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert [choice["finish_reason"] for line in told for choice in line["choices"]] == ["content_filter"] * 4
    assert told[-1]["usage"] == body["usage"] and lines[-1] == "data: [DONE]"
    ids = list(f" {HARMFUL}".encode())
    assert (await declining.post(url, {"prompt": ids})).json()["choices"][0]["finish_reason"] == "content_filter"
    assert not declining.engine.requests
    assert (await declining.post(url, {"prompt": FINE})).json()["choices"][0]["finish_reason"] == "stop"


async def test_infill(make_api, filling):
    declining = make_api(conduct=Conduct(POLICY), served=filling)
    for stream in (False, True):
        ask = {"input_prefix": f"# {HARMFUL}\n", "input_suffix": "", "stream": stream}
        body = json.loads((await declining.post("/infill", ask)).text.removeprefix("data: "))
        assert (body["content"], body["stop"], body["stop_type"]) == ("", True, "none")
        assert body["security"]["declined"]["clause"]["id"] == "malware" and "'malware'" in body["refusal"]
    assert not declining.engine.requests
    assert (await declining.post("/infill", {**ask, "input_prefix": "def f("})).text


async def test_texts_to_continue_are_judged_by_rule_alone_and_by_their_run(make_api):
    conduct, asked = guarded({"declined": True, "clause": "stalking"})
    api = make_api(conduct=conduct)

    async def end(prompt: str, **headers: str) -> str:
        return str(
            (await api.post("/v1/completions", {"prompt": prompt}, **headers)).json()["choices"][0]["finish_reason"]
        )

    assert await end("something veiled") == "stop" and not asked
    assert await end(HARMFUL) == "content_filter"
    assert await end(f"not {HARMFUL[:10]}") == "stop"
    named = {"session-id": "s"}
    assert await end(HARMFUL, **named) == "content_filter"
    assert await end("def f(", **named) == "content_filter"
    assert (await api.post(CHAT, user("hi"), **named)).json()["choices"][0]["finish_reason"] == "content_filter"
    await conduct.close()


async def test_rewording_in_the_same_run_does_not_slip_through(make_api):
    now = [0.0]
    api = make_api(conduct=Conduct(POLICY, clock=lambda: now[0]))

    async def end(messages: list[tuple[str, str]], **headers: str) -> str:
        body = {"messages": [{"role": role, "content": text} for role, text in messages]}
        return str((await api.post(CHAT, body, **headers)).json()["choices"][0]["finish_reason"])

    run = [("user", "hello"), ("assistant", "hi")]
    assert await end([*run, ("user", HARMFUL)]) == "content_filter"
    assert await end([*run, ("user", "a file locker for a friend, then")]) == "content_filter"
    assert await end([("user", "hello"), ("assistant", "good day"), ("user", "a file locker")]) == "stop"
    named = {"x-dovetail-session": "s1"}
    assert await end([("user", HARMFUL)], **named) == "content_filter"
    assert await end([("user", "a program that keeps files safe")], **named) == "content_filter"
    assert await end([("user", "a program that keeps files safe")]) == "stop"
    now[0] = POLICY.sticky_seconds + 1
    assert await end([("user", "a program that keeps files safe")], **named) == "stop"
    assert await end([*run, ("user", "thanks")]) == "stop"


@pytest.mark.parametrize(
    "header", ["x-dovetail-session", "session-id", "x-session-id", "x-session-affinity", "x-claude-code-session-id"]
)
async def test_a_run_is_known_by_its_sessions_name_and_is_its_callers_own(make_api, header):
    conduct = Conduct(POLICY)
    api = make_api(conduct=conduct)
    named = {header: "run-1"}
    for text, end in ((HARMFUL, "content_filter"), ("hello", "content_filter")):
        assert (await api.post(CHAT, user(text), **named)).json()["choices"][0]["finish_reason"] == end
    assert (await api.post(CHAT, user("hello"), **{header: "run-2"})).json()["choices"][0]["finish_reason"] == "stop"
    assert (await conduct.judge([Said("hello", True)], tenant="anonymous", session="run-1")) is not None
    assert (await conduct.judge([Said("hello", True)], tenant="another", session="run-1")) is None


def guarded(answer: object, *, closed: bool = False) -> tuple[Conduct, list[dict]]:
    asked: list[dict] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(200, json={"choices": [{"message": {"content": json.dumps(answer)}}]})

    settings = GuardSettings("http://guard/v1", "g", on_failure="closed" if closed else "open")
    policy = msgspec.structs.replace(POLICY, guard=settings)
    return Conduct(policy, transport=httpx.MockTransport(handle)), asked


async def test_a_guard_model(make_api):
    conduct, asked = guarded({"declined": True, "clause": "stalking"})
    api = make_api(conduct=conduct)
    choice = (await api.post(CHAT, user("something veiled"))).json()["choices"][0]
    assert choice["security"]["declined"]["clause"]["id"] == "stalking"
    assert choice["security"]["declined"]["by"] == "guard"
    (body,) = asked
    assert body["response_format"]["json_schema"]["schema"]["properties"]["clause"]["enum"][-1] == "none"
    assert (
        POLICY.clause[0].text in body["messages"][0]["content"] and "something veiled" in body["messages"][1]["content"]
    )
    conduct, asked = guarded({"declined": False, "clause": "none"})
    api = make_api(conduct=conduct)
    for _ in range(2):
        assert (await api.post(CHAT, user("hello"))).json()["choices"][0]["finish_reason"] == "stop"
    assert len(asked) == 1
    await conduct.close()


@pytest.mark.parametrize("failure", [httpx.ReadTimeout("slow"), {"odd": 1}, []])
async def test_a_guard_model_that_fails(make_api, failure):
    conduct, _ = guarded(failure)
    assert (await make_api(conduct=conduct).post(CHAT, user("hello"))).status_code == 200
    conduct, _ = guarded(failure, closed=True)
    answer = await make_api(conduct=conduct).post(CHAT, user("hello"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "guard_unavailable")


async def test_moderations(make_api, make_live):
    live = await make_live(conduct=Conduct(POLICY))
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none") as client:
        answer = await client.moderations.create(input=[HARMFUL, FINE])
    assert [each.flagged for each in answer.results] == [True, False]
    assert answer.results[0].categories.illicit is True and answer.results[0].categories.violence is False
    api = make_api(conduct=Conduct(POLICY))
    told = (await api.post("/v1/moderations", {"input": [{"type": "text", "text": HARMFUL}]})).json()["results"][0]
    assert (told["clause"], told["categories"]["malware"], told["rule"]) == ("malware", True, "malware/made")
    assert (await api.post("/v1/moderations", {"input": [{"type": "image_url"}]})).status_code == 400
    assert (await make_api().post("/v1/moderations", {"input": "x"})).status_code == 404


def test_an_owners_policy(tmp_path):
    file = tmp_path / "use.toml"
    clause = '[[clause]]\nid = "games"\ntitle = "No games"\ntext = "None."\n'
    file.write_text(
        clause + '[[rule]]\nid = "g"\nclause = "games"\npattern = "chess"\nbad = ["chess"]\ngood = ["go"]\n'
    )
    assert read_acceptable_use(file).rule[0].finds("play chess")
    for wrong, said in (
        ('[[rule]]\nid = "g"\nclause = "x"\npattern = "a"\n', "there is no clause 'x'"),
        ('[[rule]]\nid = "g"\nclause = "games"\npattern = "("\nbad = ["a"]\n', "rule g"),
        ('[[rule]]\nid = "g"\nclause = "games"\npattern = "b"\nbad = ["a"]\n', "does not find 'a'"),
        ('[[rule]]\nid = "g"\nclause = "games"\npattern = "a"\ngood = ["a"]\n', "finds 'a', and should not"),
        ("odd = 1\n", "odd"),
    ):
        file.write_text(wrong + clause if wrong.startswith("odd") else clause + wrong)
        with pytest.raises(AcceptableUseError, match=said):
            read_acceptable_use(file)
