"""From the items of a response to the messages of a conversation. Reads no wire: the items have been checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.serve.api.conversation.canonical import canonical_arguments
from dovetail.serve.api.conversation.conversation import Message, ToolCall, ToolKind
from dovetail.serve.api.responses.items import BYSTANDERS, Item, output_text, text_of
from dovetail.serve.api.responses.tools import ToolNames
from dovetail.serve.api.sealed import Sealer

REASONING = "reasoning"
COMPACTION = "compaction"
"""The purposes of the two kinds of sealed content."""

SUMMARY_LEAD = "What happened before, as you summarised it:\n\n"

_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call", "mcp_call")


@dataclass
class History:
    """Messages in the making. ``schemas``: of the offered functions. ``ignored``: places that the model is not shown."""

    sealer: Sealer
    schemas: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    _reasoning: str = ""

    def add(self, items: Iterable[Item], path: str) -> None:
        """The items of one list, called ``path`` where something is ignored."""
        for index, item in enumerate(items):
            self._add(item, f"{path}[{index}]")

    def finished(self) -> tuple[Message, ...]:
        """The messages; reasoning that nothing followed is a turn of its own."""
        if self._reasoning:
            self._assistant()
        return tuple(self.messages)

    def _add(self, item: Item, path: str) -> None:
        kind = item["type"]
        if kind == "message":
            self._message(item)
        elif kind == "reasoning":
            self._think(item, path)
        elif kind in _CALLS:
            self._call(item)
        elif kind.endswith("_output") and kind not in ("tool_search_output", *BYSTANDERS):
            text, omitted = output_text(_plain_output(item))
            self.messages.append(Message(role="tool", text=text, tool_call_id=item.get("call_id") or item["id"]))
            if omitted:
                self.ignored.append(f"{path}.output")
        elif kind == "compaction":
            summary = self.sealer.unseal(COMPACTION, item["encrypted_content"])
            if summary is None:
                self.ignored.append(f"{path}.encrypted_content")
            else:
                self.messages.append(Message(role="user", text=SUMMARY_LEAD + summary))
        elif kind in BYSTANDERS:
            self.ignored.append(path)

    def _message(self, item: Item) -> None:
        text = text_of(item["content"])
        if item["role"] == "assistant":
            self._assistant(text=text)
        else:
            self.messages.append(Message(role="user" if item["role"] == "user" else "system", text=text))

    def _think(self, item: Item, path: str) -> None:
        sealed = item.get("encrypted_content")
        text = self.sealer.unseal(REASONING, sealed) if sealed else None
        if sealed and text is None:
            self.ignored.append(f"{path}.encrypted_content")
        if text is None:
            text = text_of(item.get("content") or ()) or text_of(item["summary"])
        self._reasoning = "\n".join(each for each in (self._reasoning, text) if each)

    def _call(self, item: Item) -> None:
        call = _tool_call(item, self.schemas)
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "assistant" and not self._reasoning:
            self.messages[-1] = replace(last, tool_calls=(*last.tool_calls, call))
        else:
            self._assistant(calls=(call,))
        if item["type"] == "mcp_call" and isinstance(item.get("output"), str):
            self.messages.append(Message(role="tool", text=item["output"], tool_call_id=call.id))

    def _assistant(self, text: str = "", calls: tuple[ToolCall, ...] = ()) -> None:
        thought, self._reasoning = self._reasoning, ""
        self.messages.append(Message(role="assistant", text=text, reasoning=thought, tool_calls=calls))


def _tool_call(item: Item, schemas: Mapping[str, dict[str, Any] | None]) -> ToolCall:
    kind: ToolKind = "function"
    if item["type"] == "function_call":
        name = ToolNames.flatten(item["name"], item.get("namespace"))
        arguments = canonical_arguments(item["arguments"], schemas.get(name))
    elif item["type"] == "custom_tool_call":
        kind = "custom"
        name, arguments = ToolNames.flatten(item["name"], item.get("namespace")), item["input"]
    elif item["type"] == "mcp_call":
        name, arguments = item.get("name") or "mcp", item.get("arguments") or "{}"
    else:
        name = item["type"].removesuffix("_call")
        arguments = json.dumps(item.get("action", item.get("operation")), ensure_ascii=False)
    return ToolCall(id=item.get("call_id") or item["id"], name=name, arguments=arguments, kind=kind)


def _plain_output(item: Item) -> Any:
    """An output as a string or a list of parts; a shell's list of streams as JSON."""
    value = item.get("output")
    if item["type"] in ("function_call_output", "custom_tool_call_output"):
        return value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
