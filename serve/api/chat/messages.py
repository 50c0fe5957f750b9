"""Chat messages from the wire: checked one by one, so that a refusal names the item. Renders no template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from dovetail.serve.api.conversation.conversation import Message, Role, ToolCall
from dovetail.serve.api.http.wire import as_list, as_object, as_text, optional_text, refuse

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TEXT_PARTS = ("text", "input_text", "output_text")
"""Part types whose ``text`` is taken: Chat's own, and those of clients that convert from the Responses API."""

_SAME: dict[str, Role] = {"developer": "system", "function": "tool"}
"""Roles that mean others: open models know ``system``, and ``function`` is how results were sent at first."""


def check_messages(value: Any) -> tuple[Message, ...]:
    """The messages of a conversation, with what their order says filled in: whose result a result is."""
    items = as_list(value, "messages")
    if not items:
        refuse("messages", "must hold at least one message")
    return _answered([_message(item, f"messages[{index}]") for index, item in enumerate(items)])


def check_prediction(value: Any) -> str:
    """The text of ``prediction``; empty if there is none."""
    if value is None:
        return ""
    if not isinstance(value, dict) or value.get("type") != "content":
        refuse("prediction", 'must be {"type": "content", "content": text or a list of text parts}')
    return _content(value.get("content"), "prediction.content", may_be_null=False, joiner="")


def _message(item: Any, path: str) -> Message:
    wire = as_object(item, path)
    role = wire.get("role")
    if not isinstance(role, str) or role not in ROLES:
        refuse(f"{path}.role", f"must be one of {', '.join(ROLES)}")
    if wire.get("audio") is not None:
        refuse(f"{path}.audio", "audio is not available with this model", "unsupported_content")
    text = _content(wire.get("content"), f"{path}.content", may_be_null=role in ("assistant", "tool", "function"))
    name = optional_text(wire.get("name"), f"{path}.name")
    if role == "assistant":
        text = text or optional_text(wire.get("refusal"), f"{path}.refusal")
        reasoning = wire.get("reasoning_content")
        return Message(
            role="assistant",
            text=text,
            name=name,
            reasoning=optional_text(reasoning, f"{path}.reasoning_content") or _spoken(wire.get("reasoning")),
            tool_calls=_tool_calls(wire, path),
        )
    if role == "tool":
        call_id = as_text(wire.get("tool_call_id"), f"{path}.tool_call_id")
        return Message(role="tool", text=text, name=name, tool_call_id=call_id)
    if role == "function" and not name:
        refuse(f"{path}.name", "must name the function")
    return Message(role=_SAME.get(role) or cast("Role", role), text=text, name=name)


def _spoken(value: Any) -> str:
    """Reasoning under its other name, which clients also use for objects that mean something else."""
    return value if isinstance(value, str) else ""


def _content(value: Any, path: str, *, may_be_null: bool, joiner: str = "\n") -> str:
    if isinstance(value, str):
        return value
    if value is None and may_be_null:
        return ""
    if not isinstance(value, list):
        refuse(path, "must be a string or a list of text parts")
    return joiner.join(_part(part, f"{path}[{index}]") for index, part in enumerate(value))


def _part(part: Any, path: str) -> str:
    wire = as_object(part, path)
    kind = wire.get("type")
    if kind == "refusal":
        return as_text(wire.get("refusal"), f"{path}.refusal")
    if kind not in TEXT_PARTS:
        refuse(f"{path}.type", f"{kind!r} parts are not available with this model; send text", "unsupported_content")
    return as_text(wire.get("text"), f"{path}.text")


def _tool_calls(wire: dict[str, Any], path: str) -> tuple[ToolCall, ...]:
    calls = [
        _tool_call(item, f"{path}.tool_calls[{index}]", f"{path}.{index}")
        for index, item in enumerate(as_list(wire.get("tool_calls") or [], f"{path}.tool_calls"))
    ]
    if wire.get("function_call") is not None:
        name, arguments = _function(wire["function_call"], f"{path}.function_call")
        calls.append(ToolCall(id=f"{path}.function_call", name=name, arguments=arguments))
    return tuple(calls)


def _tool_call(item: Any, path: str, fallback: str) -> ToolCall:
    wire = as_object(item, path)
    call_id = optional_text(wire.get("id"), f"{path}.id") or fallback
    if wire.get("type") == "custom":
        custom = as_object(wire.get("custom"), f"{path}.custom")
        name = as_text(custom.get("name"), f"{path}.custom.name")
        text = optional_text(custom.get("input"), f"{path}.custom.input")
        return ToolCall(id=call_id, name=name, arguments=text, kind="custom")
    name, arguments = _function(wire.get("function"), f"{path}.function")
    return ToolCall(id=call_id, name=name, arguments=arguments)


def _function(value: Any, path: str) -> tuple[str, str]:
    """Name and arguments; arguments may be missing, or an object instead of its text."""
    wire = as_object(value, path)
    name = as_text(wire.get("name"), f"{path}.name")
    arguments = wire.get("arguments")
    if isinstance(arguments, dict):
        return name, json.dumps(arguments, ensure_ascii=False)
    return name, optional_text(arguments, f"{path}.arguments") or "{}"


def _answered(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Results with the name of their tool, and legacy ones with the id of their call."""
    names: dict[str, str] = {}
    waiting: dict[str, str] = {}
    done: list[Message] = []
    for message in messages:
        for call in message.tool_calls:
            names[call.id] = waiting_name = call.name
            waiting[waiting_name] = call.id
        if message.role == "tool":
            call_id = message.tool_call_id or waiting.get(message.name, f"call of {message.name}")
            name = message.name or names.get(call_id, "")
            message = Message(role="tool", text=message.text, name=name, tool_call_id=call_id)
        done.append(message)
    return tuple(done)
