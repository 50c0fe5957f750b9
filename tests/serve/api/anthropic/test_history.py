"""What the model is told of an Anthropic conversation: every shape that clients send, in one canonical form."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from anthropic.types.beta import BetaContentBlock
from hypothesis import given
from hypothesis import strategies as st
from marked_dialect import marked_model

from dovetail.serve.api.anthropic.history import History
from dovetail.serve.api.anthropic.tools import ToolChanges, read_tools
from dovetail.serve.api.conversation.canonical import canonical_arguments
from dovetail.serve.api.conversation.conversation import Message, ToolCall
from dovetail.serve.api.sealed import Sealer
from dovetail.serve.errors import UserError

URL = "/v1/messages"
BILLING = "x-anthropic-billing-header: cc_version=2.1.330.{}; cc_entrypoint=sdk-cli;"
EDIT = {
    "name": "Edit",
    "description": "Edit a file",
    "input_schema": {
        "type": "object",
        "properties": {
            "file_path": {"type": "string"},
            "old_string": {"type": "string"},
            "new_string": {"type": "string"},
            "replace_all": {"type": "boolean", "default": False},
        },
        "required": ["file_path", "old_string", "new_string"],
    },
}
CALL = {"file_path": "a.py", "old_string": "x", "new_string": "y"}


def told(messages: list[Any], system: Any = None, tools: Any = None) -> tuple[Message, ...]:
    history = History(Sealer(b"k"))
    history.add_system(system, drop_billing=True)
    history.add(messages)
    return history.finished(read_tools(tools, history.changes).tools)


def talk(system: Any, first: Any, arguments: dict[str, Any], **extra: Any) -> list[Any]:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done", **extra}
    return [
        {"role": "user", "content": first},
        {"role": "system", "content": "<env>linux</env>"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Edit", "input": arguments}]},
        {"role": "user", "content": [result, {"type": "text", "text": "go on", **extra}]},
    ]


async def test_the_changing_billing_line_does_not_spoil_the_prefix(make_api):
    for drop, same in ((True, True), (False, False)):
        api = make_api(served=marked_model(), drop_billing_header=drop)
        for suffix in ("aa2", "649; cc_is_subagent=true"):
            head = {"type": "text", "text": BILLING.format(suffix)}
            system = [head, {"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}}]
            body = {"max_tokens": 9, "system": system, "messages": [{"role": "user", "content": "hi"}]}
            assert (await api.post(URL, body)).status_code == 200
        first, second = (request.prompt for request in api.engine.requests)
        assert (first == second) is same
        assert (b"billing" in bytes(first)) is not same


def test_only_the_billing_line_is_taken_out():
    [system, _] = told([{"role": "user", "content": "x"}], BILLING.format("aa2") + "\nYou are an agent.")
    assert system.text == "You are an agent."
    [user] = told([{"role": "user", "content": BILLING.format("x")}], [{"type": "text", "text": BILLING.format("a")}])
    assert user.role == "user"
    assert "billing" in user.text


def test_equal_conversations_are_told_alike():
    marked = {"cache_control": {"type": "ephemeral"}}
    as_strings = talk("s", "hi", CALL)
    as_blocks = talk("s", [{"type": "text", "text": "hi", **marked}], {"replace_all": False, **CALL}, **marked)
    as_blocks[1]["content"] = [{"type": "text", "text": "<env>linux</env>"}]
    as_blocks[1]["output_config"] = {"effort": "high"}
    as_blocks[3]["content"][0]["content"] = [{"type": "text", "text": "done"}]
    blocks = [{"type": "text", "text": "s", **marked}]
    assert told(as_strings, "s", [EDIT]) == told(as_blocks, blocks, [{**EDIT, **marked}])
    assert [message.role for message in told(as_strings, "s")] == [
        "system",
        "user",
        "system",
        "assistant",
        "tool",
        "user",
    ]


def test_arguments_in_one_form():
    schema = EDIT["input_schema"]
    one = canonical_arguments(json.dumps({"replace_all": False, **CALL}, indent=2), schema)
    assert one == canonical_arguments(json.dumps(dict(reversed(CALL.items())), separators=(",", ":")), schema)
    assert json.loads(canonical_arguments(json.dumps({**CALL, "replace_all": True}), schema))["replace_all"] is True
    assert json.loads(canonical_arguments('{"replace_all": 0}', schema)) == {"replace_all": 0}


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps), st.text())
def test_arguments_of_any_kind_have_a_form(text, name):
    once = canonical_arguments(text, {"properties": {name: {"default": None}}, "required": 5})
    assert canonical_arguments(once, {"properties": {name: {"default": None}}, "required": 5}) == once


def test_deferred_tools_come_last_and_only_once_they_are_referred_to():
    web = {"name": "WebFetch", "description": "", "input_schema": {"type": "object"}}
    deferred = {**web, "defer_loading": True}
    placeholder = {"name": "DeferredToolPlaceholder", "defer_loading": True}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    before = read_tools([deferred, EDIT, placeholder, search])
    assert [tool.name for tool in before.tools] == ["Edit"]
    assert before.unavailable == ("web_search_20250305",)
    for listed in ([web, EDIT, placeholder], [deferred, EDIT, placeholder]):
        assert [tool.name for tool in read_tools(listed, ToolChanges(["WebFetch", "gone"])).tools] == [
            "Edit",
            "WebFetch",
        ]


def test_a_tool_reference_loads_its_tool():
    history = History(Sealer(b"k"))
    reference = {"type": "tool_reference", "tool_name": "WebFetch"}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [reference]}
    history.add([{"role": "user", "content": [result]}])
    assert history.changes.loaded == ["WebFetch"]
    assert history.messages == [Message(role="tool", text="The tool WebFetch can be called now.", tool_call_id="t")]


def test_assistant_turns():
    content = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "one"},
        {"type": "tool_use", "id": "a", "name": "Edit", "input": {}},
        {"type": "text", "text": "two"},
    ]
    history = History(Sealer(b"k"))
    history.add([{"role": "assistant", "content": content}, {"role": "assistant", "content": ""}])
    calls = (ToolCall(id="a", name="Edit", arguments="{}"),)
    assert history.messages[0] == Message(role="assistant", text="one\ntwo", tool_calls=calls)
    assert history.ignored == ["messages[0].content[0]", "messages[0].content[1]"]


def test_results_that_are_errors_say_so():
    result = {"type": "tool_result", "tool_use_id": "t", "is_error": True}
    blocks = [
        {**result, "content": "no such file"},
        {**result, "content": "<tool_use_error>x</tool_use_error>"},
        result,
    ]
    texts = [message.text for message in told([{"role": "user", "content": blocks}])]
    assert texts == ["Error: no such file", "<tool_use_error>x</tool_use_error>", "Error: "]


def test_documents_and_search_results_are_read_as_text():
    document = {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "D"}}
    found = {"type": "search_result", "source": "u", "title": "S", "content": [{"type": "text", "text": "C"}]}
    [message] = told([{"role": "user", "content": [document, found]}])
    assert message.text == "T\nD\nS\nu\nC"


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ([IMAGE], "messages[0].content[0].type"),
        ([{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}], "messages[0].content[0].content[0].type"),
        ([{"type": "document", "source": {"type": "base64"}}], "messages[0].content[0].source.type"),
        ([{"type": "tool_result", "content": ""}], "messages[0].content[0].tool_use_id"),
        ([{"type": ["text"]}], "messages[0].content[0].type"),
        (["x"], "messages[0].content[0]"),
        (5, "messages[0].content"),
        ([{"type": "text"}], "messages[0].content[0].text"),
    ],
)
def test_what_cannot_be_told_is_refused_by_its_place(content, place):
    with pytest.raises(UserError) as caught:
        told([{"role": "user", "content": content}])
    assert caught.value.param == place


def change(kind: str, tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "tool": tool, "cache_control": {"type": "ephemeral"}}


def by_name(name: str) -> dict[str, Any]:
    return {"type": "tool_reference", "name": name}


LOOK = {"name": "Look", "input_schema": {"type": "object"}}
HOSTED = {"type": "web_search_20250305", "name": "web_search"}


async def test_tools_come_and_go_in_mid_conversation(make_api):
    api = make_api(served=marked_model())
    deferred = {"name": "WebFetch", "input_schema": {"type": "object"}, "defer_loading": True}
    content = [
        change("tool_addition", by_name("WebFetch")),
        change("tool_addition", {"type": "tool_definition", "definition": LOOK}),
        change("tool_addition", {"type": "tool_definition", "definition": HOSTED}),
        change("tool_removal", by_name("Edit")),
        change("tool_removal", {"type": "mcp_toolset_reference", "server_name": "s"}),
    ]
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": content}]
    body = {"max_tokens": 9, "tools": [EDIT, deferred], "messages": messages}
    answer = await api.post(URL, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-dovetail-ignored"] == "messages[1].content[4], tools.web_search_20250305"
    assert b"The tool Edit can no longer be called." in bytes(api.engine.requests[0].prompt)

    async def offered(name: str, messages: list[Any]) -> bool:
        """Whether the tool may be chosen: this dialect can be held to no choice, but says so only of tools that are offered."""
        answer = await api.post(URL, {**body, "messages": messages, "tool_choice": {"type": "tool", "name": name}})
        assert answer.status_code == 400
        return "is not among the offered tools" not in answer.text

    again = [*messages, {"role": "user", "content": [change("tool_addition", by_name("Edit"))]}]
    assert [await offered(name, messages) for name in ("WebFetch", "Look", "Edit")] == [True, True, False]
    assert await offered("Edit", again)
    assert not await offered("WebFetch", messages[:1])


def test_a_system_message_that_ends_with_its_turn_is_not_told_later():
    passing = {"role": "system", "content": "Be brief.", "clear_at": "next_user_message"}
    user = {"role": "user", "content": "hi"}
    assert [message.text for message in told([user, passing])] == ["hi", "Be brief."]
    assert [message.text for message in told([user, passing, user])] == ["hi", "hi"]
    assert [message.text for message in told([user, {**passing, "clear_at": "never"}, user])][1] == "Be brief."


def test_settings_of_a_single_message_are_named():
    history = History(Sealer(b"k"))
    history.add([{"role": "user", "content": "x"}, {"role": "system", "output_config": {"effort": "low"}}])
    assert history.ignored == ["messages[1].output_config"]
    assert [message.role for message in history.messages] == ["user"]


def test_every_block_that_an_answer_can_hold_may_come_back():
    kinds = {
        literal for block in blocks_of(BetaContentBlock) for literal in get_args(block.model_fields["type"].annotation)
    }
    assert {"tool_use", "mcp_tool_use", "compaction", "fallback"} <= kinds
    fields = {"text": "t", "thinking": "t", "id": "i", "name": "n", "input": {}, "content": None}
    for kind in kinds:
        history = History(Sealer(b"k"))
        history.add([{"role": "assistant", "content": [{"type": kind, **fields}]}])
        assert len(history.messages) == 1, kind


def blocks_of(union: Any) -> list[Any]:
    if hasattr(union, "model_fields"):
        return [union]
    return [block for each in get_args(union) for block in blocks_of(each)]


def test_a_summary_from_elsewhere_is_told():
    [message] = told([{"role": "assistant", "content": [{"type": "compaction", "content": "We renamed add."}]}])
    assert message.text == "We renamed add."
