"""What the model is told of the items of a response: every shape that clients send, and what is refused by its place."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.serve.api.conversation.conversation import Message, ToolCall, ToolChoice, ToolGrammar
from dovetail.serve.api.responses.archive import Archive
from dovetail.serve.api.responses.body import ResponseBody
from dovetail.serve.api.responses.history import COMPACTION, REASONING, SUMMARY_LEAD
from dovetail.serve.api.responses.items import BYSTANDERS, ITEM_TYPES
from dovetail.serve.api.responses.turn import Told, read_told, shortened
from dovetail.serve.api.sealed import Sealer
from dovetail.serve.api.store.local import LocalRecords
from dovetail.serve.errors import UserError

SEALER = Sealer(b"k")
FUNCTION = {
    "type": "function",
    "name": "read",
    "description": "Read",
    "parameters": {"type": "object"},
    "strict": False,
}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /x+/"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Patch", "format": GRAMMAR}
SPACE = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Other agents",
    "tools": [{"type": "function", "name": "spawn_agent", "parameters": {"type": "object"}}],
}


def told(input: Any, **fields: Any) -> Told:
    return read_told(Archive(LocalRecords()), SEALER, ResponseBody.model_validate({"input": input, **fields}))


def messages(input: Any, **fields: Any) -> tuple[Message, ...]:
    return told(input, **fields).conversation.messages


def refusal(input: Any, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        told(input, **fields)
    assert caught.value.status == 400
    return str(caught.value.param)


@pytest.mark.parametrize("text", ["", "hello"])
def test_text_is_one_user_message(text):
    assert messages(text) == (Message(role="user", text=text),)


def test_messages_in_every_shape():
    parts = [{"type": "input_text", "text": "b"}, {"type": "text", "text": "c"}]
    input = [
        {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "a"}]},
        {"role": "user", "content": parts},
        {"role": "system", "content": "d"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "e"}, {"type": "refusal", "refusal": "f"}]},
        {"role": "assistant", "content": None},
    ]
    assert messages(input, instructions="i") == (
        Message(role="system", text="i"),
        Message(role="system", text="a"),
        Message(role="user", text="b\nc"),
        Message(role="system", text="d"),
        Message(role="assistant", text="e\nf"),
        Message(role="assistant", text=""),
    )


def test_a_turn_with_reasoning_text_and_calls_is_one_message():
    input = [
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": SEALER.seal(REASONING, "think")},
        {"type": "message", "role": "assistant", "content": "say"},
        {"type": "function_call", "call_id": "1", "name": "read", "arguments": '{"a":1}', "status": "completed"},
        {"type": "custom_tool_call", "call_id": "2", "name": "apply_patch", "input": "*** x"},
        {"type": "function_call_output", "call_id": "1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
        {
            "type": "function_call",
            "call_id": "3",
            "name": "spawn_agent",
            "namespace": "multi_agent_v1",
            "arguments": "{x",
        },
    ]
    calls = (
        ToolCall(id="1", name="read", arguments='{"a": 1}'),
        ToolCall(id="2", name="apply_patch", arguments="*** x", kind="custom"),
    )
    assert messages(input) == (
        Message(role="assistant", text="say", reasoning="think", tool_calls=calls),
        Message(role="tool", text="one", tool_call_id="1"),
        Message(role="tool", text="two", tool_call_id="2"),
        Message(role="assistant", tool_calls=(ToolCall(id="3", name="multi_agent_v1__spawn_agent", arguments="{x"),)),
    )


@pytest.mark.parametrize(
    ("item", "thought"),
    [
        ({"summary": [], "content": [{"type": "reasoning_text", "text": "c"}]}, "c"),
        ({"summary": [{"type": "summary_text", "text": "s"}]}, "s"),
        ({"summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAAAforeign"}, "s"),
    ],
)
def test_reasoning_without_a_seal_of_ours_is_read_where_it_is_open(item, thought):
    asked = told([{"type": "reasoning", **item}, {"role": "assistant", "content": "x"}])
    assert asked.conversation.messages == (Message(role="assistant", text="x", reasoning=thought),)
    assert asked.ignored == (("input[0].encrypted_content",) if "encrypted_content" in item else ())


def test_a_compaction_comes_back_as_its_summary():
    sealed = {"type": "compaction", "encrypted_content": SEALER.seal(COMPACTION, "did x")}
    assert messages([sealed]) == (Message(role="user", text=SUMMARY_LEAD + "did x"),)
    foreign = told(
        [{"type": "compaction", "encrypted_content": SEALER.seal(REASONING, "did x")}, {"role": "user", "content": ""}]
    )
    assert foreign.ignored == ("input[0].encrypted_content",)


def test_pictures_from_tools_are_named_and_left_out():
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:"}]
    asked = told([{"type": "function_call_output", "call_id": "1", "output": output}])
    assert asked.conversation.messages[0].text == "a\n[input_image omitted: this model reads text only]"
    assert asked.ignored == ("input[0].output",)


def test_shells_and_patches_of_other_servers_are_told_as_calls():
    input = [
        {"type": "local_shell_call", "id": "l", "call_id": "1", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "local_shell_call_output", "id": "1", "output": "a.py"},
        {"type": "shell_call", "call_id": "2", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "2", "output": [{"stdout": "b.py"}]},
        {"type": "apply_patch_call", "call_id": "3", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "3", "status": "completed", "output": "ok"},
        {"type": "mcp_call", "id": "m", "name": "find", "arguments": "{}", "output": "found"},
    ]
    shown = messages(input)
    assert [message.role for message in shown] == ["assistant", "tool"] * 4
    assert [message.tool_calls[0].name for message in shown[::2]] == ["local_shell", "shell", "apply_patch", "find"]
    assert [message.text for message in shown[1::2]] == ["a.py", '[{"stdout": "b.py"}]', "ok", "found"]


@pytest.mark.parametrize("kind", sorted(BYSTANDERS))
def test_what_other_servers_ran_is_kept_and_named(kind):
    asked = told([{"type": kind, "id": "x"}, {"role": "user", "content": "hi"}])
    assert asked.conversation.messages == (Message(role="user", text="hi"),)
    assert asked.ignored == ("input[0]",)


def test_tools_in_every_shape():
    hosted = {"type": "web_search", "external_web_access": True}
    asked = told("x", tools=[FUNCTION, PATCH, SPACE, hosted, {"type": "function", "name": "bare"}])
    read, patch, spawn, bare = asked.conversation.tools
    assert (read.name, read.parameters, read.kind) == ("read", {"type": "object"}, "function")
    assert (patch.kind, patch.grammar) == ("custom", ToolGrammar(syntax="lark", definition="start: /x+/"))
    assert (spawn.name, spawn.description) == ("multi_agent_v1__spawn_agent", "Other agents")
    assert asked.offered.names.restore(spawn.name) == ("multi_agent_v1", "spawn_agent")
    assert bare.parameters is None
    assert [tool["type"] for tool in asked.offered.unavailable] == ["web_search"]
    assert asked.ignored == ("tools.web_search",)


def test_tools_in_the_input():
    extra = {"type": "additional_tools", "role": "developer", "tools": [SPACE, {**FUNCTION, "description": "newer"}]}
    asked = told([extra, {"role": "user", "content": "x"}], tools=[FUNCTION])
    assert [(tool.name, tool.description) for tool in asked.conversation.tools] == [
        ("read", "newer"),
        ("multi_agent_v1__spawn_agent", "Other agents"),
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "read"}, ToolChoice(mode="required", names=("read",))),
        ({"type": "custom", "name": "apply_patch"}, ToolChoice(mode="required", names=("apply_patch",))),
        (
            {"type": "function", "name": "spawn_agent", "namespace": "multi_agent_v1"},
            ToolChoice(mode="required", names=("multi_agent_v1__spawn_agent",)),
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "read"}, {"type": "mcp"}]},
            ToolChoice(mode="auto", names=("read",)),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}, ToolChoice(mode="none")),
    ],
)
def test_tool_choices(choice, expected):
    assert told("x", tools=[FUNCTION, PATCH, SPACE], tool_choice=choice).conversation.tool_choice == expected


@pytest.mark.parametrize(
    ("choice", "place"),
    [
        ({"type": "function", "name": "write"}, "tool_choice.name"),
        ({"type": "web_search"}, "tool_choice.type"),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "x", "tools": []}, "tool_choice.mode"),
        (5, "tool_choice"),
    ],
)
def test_tool_choices_that_cannot_be_kept_are_refused(choice, place):
    assert refusal("x", tools=[FUNCTION], tool_choice=choice) == place
    assert refusal("x", tool_choice="required") == "tool_choice"


@pytest.mark.parametrize(
    ("input", "place"),
    [
        (None, "input"),
        (5, "input"),
        (["x"], "input[0]"),
        ([{"role": "user", "content": "x"}, {"type": "telepathy"}], "input[1].type"),
        ([{"type": 5}], "input[0].type"),
        ([{}], "input[0].id"),
        ([{"role": "robot", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text", "text": 1}]}], "input[0].content[0].text"),
        ([{"role": "user"}], "input[0].content"),
        ([{"type": "function_call", "name": "f", "arguments": "{}"}], "input[0].call_id"),
        ([{"type": "function_call", "call_id": "1", "name": "f", "arguments": {}}], "input[0].arguments"),
        ([{"type": "function_call_output", "call_id": "1", "output": 5}], "input[0].output"),
        ([{"type": "item_reference", "id": "msg_x"}], "input[0].id"),
        ([{"type": "compaction_trigger"}, {"role": "user", "content": "x"}], "input[0].type"),
        ([{"role": "user", "content": "x", "id": 5}], "input[0].id"),
    ],
)
def test_items_that_cannot_be_read_are_refused_by_their_place(input, place):
    assert refusal(input) == place


def test_an_unknown_type_is_named():
    with pytest.raises(UserError, match=r"input\[0\]\.type: there are no items of type 'telepathy'"):
        told([{"type": "telepathy"}])


@pytest.mark.parametrize(
    ("tool", "place"),
    [
        ("x", "tools[0]"),
        ({"type": 5}, "tools[0].type"),
        ({"type": "function"}, "tools[0].name"),
        ({"type": "function", "name": ""}, "tools[0].name"),
        ({"type": "function", "name": "f", "parameters": []}, "tools[0].parameters"),
        ({"type": "custom", "name": "f", "format": {"type": "xml"}}, "tools[0].format.type"),
        ({"type": "custom", "name": "f", "format": {"type": "grammar", "syntax": "gbnf"}}, "tools[0].format.syntax"),
        ({"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}, "tools[0].tools[0].type"),
        ({"type": "namespace", "name": "n"}, "tools[0].tools"),
    ],
)
def test_tools_that_cannot_be_read_are_refused_by_their_place(tool, place):
    assert refusal("x", tools=[tool]) == place


def test_the_package_sends_no_item_type_that_is_unknown_here():
    from typing import get_args

    from openai.types.responses import ResponseInputItem

    union = get_args(ResponseInputItem)[0]
    known = {get_args(_plain(item.model_fields["type"].annotation))[0] for item in get_args(union)}
    assert known - set(ITEM_TYPES) == set()


def _plain(annotation: Any) -> Any:
    from typing import Literal, get_args, get_origin

    return annotation if get_origin(annotation) is Literal else get_args(annotation)[0]


def test_truncation_keeps_system_messages_and_the_last_turn():
    turns = tuple(Message(role="user" if n % 2 == 0 else "assistant", text=str(n)) for n in range(7))
    whole = (Message(role="system", text="s"), *turns)
    shorter = shortened(whole)
    assert shorter is not None
    assert [message.text for message in shorter] == ["s", "3", "4", "5", "6"]
    while (again := shortened(shorter)) is not None:
        shorter = again
    assert [message.text for message in shorter] == ["s", "6"]


def test_truncation_leaves_no_answer_without_its_call():
    call = Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments="{}"),))
    answer = Message(role="tool", text="r", tool_call_id="1")
    first, last = Message(role="user", text="a"), Message(role="user", text="b")
    assert shortened((first, call, answer, last)) == (last,)
