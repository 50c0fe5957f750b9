"""From the system prompt and the messages of the Messages API to those of a conversation, in one canonical form.

Where cache_control stands, and whether a text is a string or a block, makes no difference to what comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.serve.api.anthropic.tools import ToolChanges
from dovetail.serve.api.conversation.canonical import canonical_arguments
from dovetail.serve.api.conversation.conversation import Message, Tool, ToolCall
from dovetail.serve.api.http.wire import as_list, as_object, as_text, optional_text, refuse
from dovetail.serve.api.sealed import Sealer

THINKING = "thinking"
"""The purpose of the seal on a thinking block."""

BILLING = re.compile(r"x-anthropic-billing-header:[^\n]*\n*")
"""What Claude Code puts at the head of its system prompt; it changes from session to session."""

LOADED = "The tool {name} can be called now."
_TOOL_CHANGES = ("tool_addition", "tool_removal")
_ERROR = re.compile(r"\s*(<tool_use_error>|error)", re.IGNORECASE)


@dataclass
class History:
    """Messages in the making. ``ignored``: what the model is not shown. ``changes``: of the tools, by references and blocks."""

    sealer: Sealer
    messages: list[Message] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    changes: ToolChanges = field(default_factory=ToolChanges)

    def add_system(self, value: Any, *, drop_billing: bool) -> None:
        """The system prompt, if there is one."""
        texts = _system_texts(value, "system")
        if drop_billing and texts:
            texts = [BILLING.sub("", texts[0], count=1) if BILLING.match(texts[0]) else texts[0], *texts[1:]]
        text = "\n".join(text for text in texts if text)
        if text:
            self.messages.append(Message(role="system", text=text))

    def add(self, value: Sequence[Any]) -> None:
        """All messages."""
        if not value:
            refuse("messages", "must hold at least one message")
        turns = [index for index, entry in enumerate(value) if isinstance(entry, dict) and entry.get("role") == "user"]
        for index, entry in enumerate(value):
            at = f"messages[{index}]"
            wire = as_object(entry, at)
            role = wire.get("role")
            if role == "assistant":
                self._assistant(_blocks(wire.get("content"), f"{at}.content"), f"{at}.content")
            elif role == "user":
                self._user(_blocks(wire.get("content"), f"{at}.content"), f"{at}.content")
            elif role == "system":
                self._system(wire, at, over=bool(turns) and index < turns[-1])
            else:
                refuse(f"{at}.role", "Input should be 'user', 'assistant' or 'system'")

    def finished(self, tools: Sequence[Tool]) -> tuple[Message, ...]:
        """The messages, with the arguments of their calls in the form that ``tools`` gives them."""
        schemas = {tool.name: tool.parameters for tool in tools}
        return tuple(_with_canonical_calls(message, schemas) for message in self.messages)

    def _system(self, wire: dict[str, Any], at: str, *, over: bool) -> None:
        """Instructions and changes of tools in mid-conversation. ``over``: a user's turn has followed."""
        content = wire.get("content")
        if wire.get("output_config"):
            self.ignored.append(f"{at}.output_config")
        texts = []
        for index, block in enumerate([] if content is None else _blocks(content, f"{at}.content")):
            inside = f"{at}.content[{index}]"
            if block.get("type", "text") == "text":
                texts.append(as_text(block.get("text"), f"{inside}.text"))
            elif block["type"] in _TOOL_CHANGES:
                texts.append(self._tool_change(block, inside))
            else:
                refuse(f"{inside}.type", f"must be text, {' or '.join(_TOOL_CHANGES)}")
        text = "\n".join(text for text in texts if text)
        if text and not (over and wire.get("clear_at") == "next_user_message"):
            self.messages.append(Message(role="system", text=text))

    def _tool_change(self, block: dict[str, Any], at: str) -> str:
        """What the model is told of a tool that may be called from here on, or may not; nothing of those that others run."""
        tool = as_object(block.get("tool"), f"{at}.tool")
        kind = tool.get("type")
        if kind == "tool_definition" and block["type"] == "tool_addition":
            tool, at = as_object(tool.get("definition"), f"{at}.tool.definition"), f"{at}.tool.definition"
            self.changes.defined.append((tool, at))
            if tool.get("type", "custom") != "custom":
                return ""  # named by read_tools
        elif kind != "tool_reference":
            self.ignored.append(at)
            return ""
        name = as_text(tool.get("name"), f"{at}.name")
        if block["type"] == "tool_removal":
            self.changes.remove(name)
            return f"The tool {name} can no longer be called."
        self.changes.add(name)
        return LOADED.format(name=name)

    def _user(self, blocks: Sequence[dict[str, Any]], path: str) -> None:
        texts: list[str] = []
        results = False
        for index, block in enumerate(blocks):
            at = f"{path}[{index}]"
            if block.get("type") == "tool_result":
                self._flush(texts)
                self._result(block, at)
                results = True
            else:
                texts.append(self._text(block, at))
        if texts or not results:
            self._flush(texts, always=True)

    def _flush(self, texts: list[str], *, always: bool = False) -> None:
        if texts or always:
            self.messages.append(Message(role="user", text="\n".join(texts)))
            texts.clear()

    def _result(self, block: dict[str, Any], at: str) -> None:
        parts = _blocks(block.get("content", ""), f"{at}.content")
        text = "\n".join(self._text(part, f"{at}.content[{index}]") for index, part in enumerate(parts))
        if block.get("is_error") is True and not _ERROR.match(text):
            text = f"Error: {text}"
        call = as_text(block.get("tool_use_id"), f"{at}.tool_use_id")
        self.messages.append(Message(role="tool", text=text, tool_call_id=call))

    def _text(self, block: dict[str, Any], at: str) -> str:
        kind = block.get("type")
        if kind == "tool_reference":
            name = as_text(block.get("tool_name"), f"{at}.tool_name")
            self.changes.add(name)
            return LOADED.format(name=name)
        if kind in _TOOL_CHANGES:
            return self._tool_change(block, at)
        read = _TEXTS.get(kind) if isinstance(kind, str) else None
        if read is None:
            refuse(f"{at}.type", f"{kind!r} blocks are not available with this model; send text", "unsupported_content")
        return read(block, at)

    def _assistant(self, blocks: Sequence[dict[str, Any]], path: str) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCall] = []
        for index, block in enumerate(blocks):
            at = f"{path}[{index}]"
            kind = block.get("type")
            if kind == "text":
                texts.append(as_text(block.get("text"), f"{at}.text"))
            elif kind == "thinking":
                thoughts += self._thought(block, at)
            elif kind == "tool_use":
                calls.append(_call(block, at))
            elif kind == "compaction" and block.get("content") is not None:
                texts.append(as_text(block["content"], f"{at}.content"))
            elif isinstance(kind, str) and (kind in _SERVER_BLOCKS or kind.endswith("_tool_result")):
                self.ignored.append(at)
            else:
                refuse(f"{at}.type", f"an assistant's message holds no {kind!r} blocks", "unsupported_content")
        text, thought = "\n".join(texts), "\n".join(thoughts)
        self.messages.append(Message(role="assistant", text=text, reasoning=thought, tool_calls=tuple(calls)))

    def _thought(self, block: dict[str, Any], at: str) -> list[str]:
        """The text under the seal: it is there even where the block's own text was omitted."""
        as_text(block.get("thinking"), f"{at}.thinking")
        text = self.sealer.unseal(THINKING, optional_text(block.get("signature"), f"{at}.signature"))
        if text is None:
            self.ignored.append(at)
            return []
        return [text]


_SERVER_BLOCKS = (
    *("server_tool_use", "mcp_tool_use", "mcp_tool_listing", "container_upload"),
    *("redacted_thinking", "compaction", "fallback"),
)


def _call(block: dict[str, Any], at: str) -> ToolCall:
    arguments = block.get("input")
    given = {} if arguments is None else as_object(arguments, f"{at}.input")
    return ToolCall(
        id=as_text(block.get("id"), f"{at}.id"),
        name=as_text(block.get("name"), f"{at}.name"),
        arguments=json.dumps(given, ensure_ascii=False),
    )


def _with_canonical_calls(message: Message, schemas: Mapping[str, dict[str, Any] | None]) -> Message:
    if not message.tool_calls:
        return message
    calls = tuple(
        replace(call, arguments=canonical_arguments(call.arguments, schemas.get(call.name)))
        for call in message.tool_calls
    )
    return replace(message, tool_calls=calls)


def _blocks(value: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        refuse(path, "must be a string or a list of blocks")
    return [as_object(block, f"{path}[{index}]") for index, block in enumerate(value)]


def _system_texts(value: Any, path: str) -> list[str]:
    if value is None:
        return []
    texts = []
    for index, block in enumerate(_blocks(value, path)):
        at = f"{path}[{index}]"
        if block.get("type", "text") != "text":
            refuse(f"{at}.type", "must be text")
        texts.append(as_text(block.get("text"), f"{at}.text"))
    return texts


def _plain(block: dict[str, Any], at: str) -> str:
    return as_text(block.get("text"), f"{at}.text")


def _document(block: dict[str, Any], at: str) -> str:
    source = as_object(block.get("source"), f"{at}.source")
    kind = source.get("type")
    if kind == "text":
        body = as_text(source.get("data"), f"{at}.source.data")
    elif kind == "content":
        body = "\n".join(_system_texts(source.get("content"), f"{at}.source.content"))
    else:
        what = f"{kind!r} documents are not available with this model; send their text"
        refuse(f"{at}.source.type", what, "unsupported_content")
    title = optional_text(block.get("title"), f"{at}.title")
    return f"{title}\n{body}" if title else body


def _search_result(block: dict[str, Any], at: str) -> str:
    head = [as_text(block.get(name), f"{at}.{name}") for name in ("title", "source")]
    return "\n".join([*head, *_system_texts(as_list(block.get("content"), f"{at}.content"), f"{at}.content")])


_TEXTS: dict[str, Callable[[dict[str, Any], str], str]] = {
    "text": _plain,
    "document": _document,
    "search_result": _search_result,
}
