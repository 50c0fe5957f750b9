"""Stored responses, follow-ups, conversations, background runs and compaction, over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from marked_dialect import marked_model
from openai.types.conversations import Conversation, ConversationItem, ConversationItemList
from openai.types.responses import CompactedResponse, InputTokenCountResponse, Response, ResponseItemList
from pydantic import TypeAdapter

from dovetail.serve.api.store.local import LocalRecords
from dovetail.serve.errors import EngineError
from dovetail.serve.types import TokensEvent

URL = "/v1/responses"
CALL = '<call read>{"path": "a.py"}</call>'
READ = {"type": "function", "name": "read"}


def prompt_of(api: Any) -> str:
    return bytes(api.engine.requests[-1].prompt).decode()


@pytest.fixture
def api(make_api, saying):
    return make_api(saying("<think>hm</think>", "Hello ", "there", CALL), served=marked_model())


async def test_a_follow_up_is_told_everything_before(api):
    first = (await api.post(URL, {"input": "one", "instructions": "Be brief.", "tools": [READ]})).json()
    answer = {"type": "function_call_output", "call_id": first["output"][-1]["call_id"], "output": "x = 1"}
    second = (await api.post(URL, {"input": [answer], "previous_response_id": first["id"], "tools": [READ]})).json()
    prompt = prompt_of(api)
    assert "Be brief." not in prompt, "instructions are not carried over"
    places = [prompt.index(text) for text in ('"one"', '"hm"', "Hello there", "a.py", "x = 1")]
    assert sorted(places[:1] + places[3:]) == places[:1] + places[3:]
    assert second["previous_response_id"] == first["id"]
    third = await api.post(URL, {"input": "three", "previous_response_id": second["id"]})
    assert prompt_of(api).count("Hello there") == 2
    assert third.status_code == 200


async def test_reading_listing_and_deleting(api):
    made = (
        await api.post(URL, {"input": [{"role": "user", "content": t} for t in "abc"], "metadata": {"k": "v"}})
    ).json()
    one = f"{URL}/{made['id']}"
    assert (await api.client.get(one)).json() == made
    listed = (await api.client.get(f"{one}/input_items?limit=2&order=asc")).json()
    ResponseItemList.model_validate(listed)
    assert [item["content"][0]["text"] for item in listed["data"]] == ["a", "b"]
    assert listed["has_more"] is True
    rest = (await api.client.get(f"{one}/input_items?order=asc&after={listed['last_id']}")).json()
    assert ([item["content"][0]["text"] for item in rest["data"]], rest["has_more"]) == (["c"], False)
    assert (await api.client.delete(one)).json()["deleted"] is True
    for method, path in (("GET", one), ("DELETE", one), ("GET", f"{one}/input_items"), ("POST", f"{one}/cancel")):
        assert (await api.client.request(method, path)).status_code == 404
    gone = await api.post(URL, {"input": "x", "previous_response_id": made["id"]})
    assert (gone.status_code, gone.json()["error"]["code"]) == (400, "previous_response_not_found")


async def test_what_is_not_to_be_stored_is_not(api):
    made = (await api.post(URL, {"input": "x", "store": False})).json()
    assert (await api.client.get(f"{URL}/{made['id']}")).status_code == 404


async def test_an_item_can_be_referred_to(api):
    made = (await api.post(URL, {"input": "x", "tools": [READ]})).json()
    references = [{"type": "item_reference", "id": item["id"]} for item in made["output"]]
    output = {"type": "function_call_output", "call_id": made["output"][-1]["call_id"], "output": "r"}
    answer = await api.post(URL, {"input": [{"role": "user", "content": "x"}, *references, output], "tools": [READ]})
    assert answer.status_code == 200
    assert "Hello there" in prompt_of(api)
    assert '"hm"' in prompt_of(api)


async def test_a_conversation_grows(api):
    start = {"items": [{"role": "user", "content": "early"}], "metadata": {"a": "b"}}
    made = (await api.post("/v1/conversations", start)).json()
    Conversation.model_validate(made)
    one = f"/v1/conversations/{made['id']}"
    for text in ("one", "two"):
        answer = (await api.post(URL, {"input": text, "conversation": {"id": made["id"]}})).json()
        assert answer["conversation"] == {"id": made["id"]}
    assert all(text in prompt_of(api) for text in ("early", "one", "Hello there", "two"))
    listed = (await api.client.get(f"{one}/items?order=asc")).json()
    ConversationItemList.model_validate(listed)
    assert [item["type"] for item in listed["data"]] == ["message", *["message", "reasoning", "message"] * 2]
    added = (await api.post(f"{one}/items", {"items": [{"role": "user", "content": "late"}]})).json()
    item = f"{one}/items/{added['first_id']}"
    TypeAdapter(ConversationItem).validate_python((await api.client.get(item)).json())
    assert (await api.client.delete(item)).json()["id"] == made["id"]
    assert (await api.client.get(item)).status_code == 404
    assert (await api.post(one, {"metadata": {"c": "d"}})).json()["metadata"] == {"c": "d"}
    assert (await api.client.delete(one)).json()["deleted"] is True
    assert (await api.client.get(one)).status_code == 404
    gone = await api.post(URL, {"input": "x", "conversation": made["id"]})
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "conversation")


async def test_two_pasts_exclude_each_other(api):
    answer = await api.post(URL, {"input": "x", "conversation": "conv_1", "previous_response_id": "resp_1"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "previous_response_id")


async def until(api: Any, id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            response = (await api.client.get(f"{URL}/{id}")).json()
            if response["status"] == status:
                return response
            await asyncio.sleep(0.01)


async def test_a_background_response(api):
    made = (await api.post(URL, {"input": "x", "background": True})).json()
    Response.model_validate(made)
    assert (made["status"], made["output"]) == ("queued", [])
    done = await until(api, made["id"], "completed")
    assert done["output"][1]["content"][0]["text"].startswith("Hello there")
    replay = await api.client.get(f"{URL}/{made['id']}?stream=true")
    assert replay.text.count("event: response.queued") == 1
    assert "event: response.completed" in replay.text
    tail = (await api.client.get(f"{URL}/{made['id']}?stream=true&starting_after=2")).text
    assert '"sequence_number":3' in tail.split("\n\n")[0]


async def test_a_background_response_is_cancelled(make_api):
    def endless(request):
        for _ in itertools.count():
            yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
            yield 0.01

    api = make_api(endless)
    made = (await api.post(URL, {"input": "x", "background": True})).json()
    await until(api, made["id"], "in_progress")
    cancelled = (await api.client.post(f"{URL}/{made['id']}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    assert api.engine.running == 0
    assert len(api.engine.cancelled) == 1
    plain = (await make_api().post(URL, {"input": "x"})).json()
    assert plain["status"] == "completed"


async def test_a_background_response_that_fails_says_so(make_api):
    api = make_api(lambda request: iter([ValueError("a bug")]))
    made = (await api.post(URL, {"input": "x", "background": True})).json()
    with pytest.raises(ValueError, match="a bug"):
        await next(task for task in asyncio.all_tasks() if task.get_name() == "background response")
    failed = (await api.client.get(f"{URL}/{made['id']}")).json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")


async def test_only_a_background_response_is_cancelled_or_streamed_again(api):
    made = (await api.post(URL, {"input": "x"})).json()
    assert (await api.client.post(f"{URL}/{made['id']}/cancel")).status_code == 400
    assert (await api.client.get(f"{URL}/{made['id']}?stream=true")).status_code == 400
    refused = await api.post(URL, {"input": "x", "background": True, "store": False})
    assert refused.json()["error"]["param"] == "store"


async def test_compaction_by_a_trigger(make_api, saying):
    api = make_api(saying("<think>hm</think>", "We did ", "x.\n"), served=marked_model())
    items = [{"role": "user", "content": "do x"}, {"type": "compaction_trigger"}]
    made = (await api.post(URL, {"input": items, "tools": [READ], "stream": True})).text
    assert made.count("event: response.output_item.done") == 1
    whole = (await api.post(URL, {"input": items, "tools": [READ]})).json()
    Response.model_validate(whole)
    await api.post(URL, {"input": items[:1], "tools": [READ]})
    before, compacting = (bytes(api.engine.requests[index].prompt) for index in (-1, -2))
    common = before[: before.index(b"effort")]
    assert compacting.startswith(common), "the prompt so far is cached, tools and all"
    [item] = whole["output"]
    assert item["type"] == "compaction"
    await api.post(URL, {"input": [item, {"role": "user", "content": "go on"}]})
    assert "We did x." in prompt_of(api)


async def test_compaction_as_an_endpoint(make_api, saying):
    api = make_api(saying("We did x."), served=marked_model())
    history = [{"role": "user", "content": "do x"}, {"role": "assistant", "content": "done"}]
    compacted = (await api.post(f"{URL}/compact", {"model": "tiny", "input": history})).json()
    CompactedResponse.model_validate({**compacted, "output": compacted["output"][-1:]})  # user messages are sent, too
    assert [item["type"] for item in compacted["output"]] == ["message", "compaction"]
    await api.post(URL, {"input": [*compacted["output"], {"role": "user", "content": "go on"}]})
    assert "We did x." in prompt_of(api)
    assert '"done"' not in prompt_of(api)


async def test_counting_tokens(api):
    fields = {"input": "hi", "instructions": "Be brief.", "tools": [READ]}
    counted = (await api.post(f"{URL}/input_tokens", {"model": "tiny", **fields})).json()
    InputTokenCountResponse.model_validate(counted)
    await api.post(URL, fields)
    assert counted["input_tokens"] == len(api.engine.requests[0].prompt)


async def test_sealed_reasoning_goes_round(api):
    made = (await api.post(URL, {"input": "x", "include": ["reasoning.encrypted_content"], "store": False})).json()
    reasoning = made["output"][0]
    again = {**reasoning, "content": None, "summary": []}
    answer = await api.post(
        URL, {"input": [again, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}
    )
    assert '"reasoning_content": "hm"' in prompt_of(api)
    assert "x-dovetail-ignored" not in answer.headers
    again["encrypted_content"] = again["encrypted_content"][:-8] + "AAAAAAA="
    answer = await api.post(URL, {"input": [again, {"role": "assistant", "content": "a"}]})
    assert answer.headers["x-dovetail-ignored"] == "input[0].encrypted_content"


async def test_what_decorates_a_request_is_accepted_and_named(api):
    fields = {
        "client_metadata": {"session_id": "1"},
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "text": {"verbosity": "low"},
        "include": ["web_search_call.results"],
        "tools": [{"type": "web_search"}, {"type": "tool_search", "execution": "client"}],
        "reasoning": {"effort": "high", "summary": "detailed", "context": "all_turns"},
        "context_management": [{"type": "compaction", "compact_threshold": 1000}],
        "stream_options": {"include_obfuscation": False},
    }
    answer = await api.post(URL, {"input": "x", **fields})
    assert answer.status_code == 200
    named = answer.headers["x-dovetail-ignored"].split(", ")
    assert set(named) == {
        "client_metadata",
        "context_management",
        "include.web_search_call.results",
        "reasoning.context",
        "text.verbosity",
        "tools.web_search",
        "tools.tool_search",
    }
    body = answer.json()
    assert body["tools"] == []
    assert [tool["type"] for tool in body["unavailable_tools"]] == ["web_search", "tool_search"]
    assert "effort high" in prompt_of(api)


async def test_truncation(make_api):
    turns = [{"role": "user", "content": f"{n} " + "x" * 900} for n in range(6)]
    api = make_api(served=marked_model())
    refused = await api.post(URL, {"input": turns})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert refused.json()["error"]["param"] == "input"
    assert (await api.post(URL, {"input": turns, "truncation": "auto"})).status_code == 200
    assert "5 xxx" in prompt_of(api)
    assert "0 xxx" not in prompt_of(api)
    alone = await api.post(URL, {"input": "x" * 5000, "truncation": "auto"})
    assert alone.json()["error"]["code"] == "context_length_exceeded"


async def test_a_websocket_is_sent_away(make_live):
    live = await make_live()
    headers = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert (await live.client.get(URL, headers=headers)).status_code == 426


async def test_an_answer_that_cannot_be_stored_is_a_failure_that_is_told(make_api, monkeypatch):
    api = make_api()

    def full(self: LocalRecords, kind: str, id: str, record: object) -> None:
        raise EngineError("The disk is full.", status=500, code="store_failed")

    monkeypatch.setattr(LocalRecords, "put", full)
    assert (await api.post(URL, {"input": "x"})).json()["error"]["code"] == "store_failed"
    streamed = (await api.post(URL, {"input": "x", "stream": True})).text
    assert "event: response.failed" in streamed
    assert "event: response.completed" not in streamed
    assert (await api.post(URL, {"input": "x", "store": False})).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_summary_that_the_budget_cuts_says_so_to_the_model(make_api, saying, stream):
    api = make_api(saying("We did x.", " And then much more."), served=marked_model(), max_output_tokens=12)
    items = [{"role": "user", "content": "do x"}, {"type": "compaction_trigger"}]
    assert (await api.post(URL, {"input": items, "stream": stream})).status_code == 200
    compacted = (await api.post(f"{URL}/compact", {"model": "tiny", "input": items[:1]})).json()
    await api.post(URL, {"input": [*compacted["output"], {"role": "user", "content": "go on"}]})
    assert "We did x." in prompt_of(api) and "cut off here" in prompt_of(api)


async def test_no_summary_at_all_is_refused(make_api, saying):
    api = make_api(saying("We did x."), served=marked_model(), max_output_tokens=2)
    refused = await api.post(f"{URL}/compact", {"model": "tiny", "input": "do x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "summary_cut_off")
