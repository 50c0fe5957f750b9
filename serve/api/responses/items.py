"""Input items from the wire, checked one by one, in the form in which they are stored and listed. Builds no conversation.

A refusal names the item's index and type. Every item leaves with an id; messages with a list of parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dovetail.serve.api.http.wire import as_list, as_object, as_text, optional_text, refuse
from dovetail.serve.api.ids import fresh

Item = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant")
TEXT_PARTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
OMITTED = "[{kind} omitted: this model reads text only]"
"""What the model reads in place of a picture or file that a tool returned."""

BYSTANDERS = frozenset(
    {
        "code_interpreter_call",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "file_search_call",
        "image_generation_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_list_tools",
        "program",
        "program_output",
        "tool_search_call",
        "web_search_call",
    }
)
"""Items of tools that OpenAI runs, from an earlier server: kept, listed, and not shown to the model."""


def read_input(value: Any, path: str = "input") -> list[Item]:
    """Items of ``input``: one user message for a string, also for an empty one."""
    if isinstance(value, str):
        return [_item({"role": "user", "content": value}, path)]
    if not isinstance(value, list):
        refuse(path, "must be a string or a list of items")
    return [_item(entry, f"{path}[{index}]") for index, entry in enumerate(value)]


def _item(entry: Any, path: str) -> Item:
    if not isinstance(entry, dict):
        refuse(path, "must be an object")
    kind = entry.get("type")
    if kind is None:
        kind = "message" if "role" in entry or "content" in entry else "item_reference"
    if not isinstance(kind, str) or kind not in ITEM_TYPES:
        refuse(f"{path}.type", f"there are no items of type {kind!r}", "unknown_item_type")
    read = _READERS.get(kind, _as_it_is)
    item = read(entry, path)
    given = entry.get("id")
    if given is not None and not isinstance(given, str):
        refuse(f"{path}.id", "must be a string")
    return {"id": given or fresh(_PREFIXES.get(kind, "item")), "type": kind, **item}


def _as_it_is(entry: Item, path: str) -> Item:
    return {key: value for key, value in entry.items() if key not in ("id", "type")}


def _message(entry: Item, path: str) -> Item:
    role = entry.get("role")
    if role not in ROLES:
        refuse(f"{path}.role", f"must be one of {', '.join(ROLES)}")
    content = entry.get("content")
    kind = "output_text" if role == "assistant" else "input_text"
    if isinstance(content, str) or (content is None and role == "assistant"):
        parts = [_text_part(kind, content or "")]
    else:
        parts = _parts(content, f"{path}.content", kind)
    item = {"role": role, "content": parts, "status": "completed"}
    if isinstance(entry.get("phase"), str):
        item["phase"] = entry["phase"]
    return item


def _parts(value: Any, path: str, kind: str) -> list[Item]:
    parts = []
    for index, entry in enumerate(as_list(value, path)):
        at = f"{path}[{index}]"
        part = as_object(entry, at)
        if part.get("type") == "refusal":
            parts.append({"type": "refusal", "refusal": as_text(part.get("refusal"), f"{at}.refusal")})
        elif part.get("type") in TEXT_PARTS:
            parts.append(_text_part(kind, as_text(part.get("text"), f"{at}.text")))
        else:
            what = f"{part.get('type')!r} parts are not available with this model; send text"
            refuse(f"{at}.type", what, "unsupported_content")
    return parts


def _text_part(kind: str, text: str) -> Item:
    return {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}


def _reasoning(entry: Item, path: str) -> Item:
    item: Item = {}
    for name, kind in (("summary", "summary_text"), ("content", "reasoning_text")):
        value = entry.get(name)
        texts = [] if value is None else _parts(value, f"{path}.{name}", kind)
        item[name] = texts
    item["encrypted_content"] = entry.get("encrypted_content")
    optional_text(item["encrypted_content"], f"{path}.encrypted_content")
    return item


def _call(field: str) -> Callable[[Item, str], Item]:
    def read(entry: Item, path: str) -> Item:
        item = {
            "call_id": as_text(entry.get("call_id"), f"{path}.call_id"),
            "name": as_text(entry.get("name"), f"{path}.name"),
            field: optional_text(entry.get(field), f"{path}.{field}"),
            "status": "completed",
        }
        if optional_text(entry.get("namespace"), f"{path}.namespace"):
            item["namespace"] = entry["namespace"]
        return item

    return read


def _output(entry: Item, path: str) -> Item:
    value = entry.get("output")
    if not isinstance(value, str | list) and value is not None:
        refuse(f"{path}.output", "must be a string or a list of parts")
    if isinstance(value, list):
        for index, part in enumerate(value):
            at = f"{path}.output[{index}]"
            if as_object(part, at).get("type") in TEXT_PARTS:
                as_text(part.get("text"), f"{at}.text")
    call_id = as_text(entry.get("call_id"), f"{path}.call_id")
    return {"call_id": call_id, "output": "" if value is None else value, "status": "completed"}


def _shell_call(entry: Item, path: str) -> Item:
    as_object(entry.get("action"), f"{path}.action")
    optional_text(entry.get("call_id"), f"{path}.call_id")
    return _as_it_is(entry, path)


def _patch_call(entry: Item, path: str) -> Item:
    as_object(entry.get("operation"), f"{path}.operation")
    as_text(entry.get("call_id"), f"{path}.call_id")
    return _as_it_is(entry, path)


def _loose_output(entry: Item, path: str) -> Item:
    optional_text(entry.get("call_id"), f"{path}.call_id")
    return _as_it_is(entry, path)


def _mcp_call(entry: Item, path: str) -> Item:
    for name in ("name", "arguments", "output"):
        optional_text(entry.get(name), f"{path}.{name}")
    return _as_it_is(entry, path)


def _tool_list(entry: Item, path: str) -> Item:
    as_list(entry.get("tools"), f"{path}.tools")
    return _as_it_is(entry, path)


def _compaction(entry: Item, path: str) -> Item:
    return {"encrypted_content": as_text(entry.get("encrypted_content"), f"{path}.encrypted_content")}


def _reference(entry: Item, path: str) -> Item:
    return {"id": as_text(entry.get("id"), f"{path}.id")}


def _trigger(entry: Item, path: str) -> Item:
    return {}


_READERS: dict[str, Callable[[Item, str], Item]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call("arguments"),
    "function_call_output": _output,
    "custom_tool_call": _call("input"),
    "custom_tool_call_output": _output,
    "local_shell_call": _shell_call,
    "local_shell_call_output": _loose_output,
    "shell_call": _shell_call,
    "shell_call_output": _loose_output,
    "apply_patch_call": _patch_call,
    "apply_patch_call_output": _loose_output,
    "mcp_call": _mcp_call,
    "additional_tools": _tool_list,
    "tool_search_output": _tool_list,
    "compaction": _compaction,
    "compaction_trigger": _trigger,
    "item_reference": _reference,
}
ITEM_TYPES = (*_READERS, *sorted(BYSTANDERS))

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "compaction": "cmp",
}


def text_of(parts: Sequence[Item]) -> str:
    """The text of checked parts."""
    return "\n".join(part.get("refusal", "") if part["type"] == "refusal" else part["text"] for part in parts)


def output_text(value: Any) -> tuple[str, bool]:
    """What a tool said, as text; and whether something that is no text was left out of it."""
    if isinstance(value, str):
        return value, False
    texts = []
    omitted = False
    for part in value:
        if part.get("type") in TEXT_PARTS:
            texts.append(part["text"])
        else:
            omitted = True
            kind = part.get("type")
            texts.append(OMITTED.format(kind=kind if kind in ("input_image", "input_file") else "part"))
    return "\n".join(texts), omitted
