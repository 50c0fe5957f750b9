"""Calls between DeepSeek's marker tokens: V3 and R1 (a fenced JSON block), V3.1 and later (bare JSON)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.models.dialects.lark import Lark
from dovetail.models.dialects.marked import MarkedCalls
from dovetail.models.dialects.messages import Message
from dovetail.models.dialects.pieces import ArgumentStyle, CallHead, OfferedTool
from dovetail.models.dialects.reading import Wait

SECTION, END_SECTION = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, END_CALL = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
SEPARATOR = "<｜tool▁sep｜>"
FENCE = "```"


class DeepSeekReader(MarkedCalls):
    """A section of calls; the section's own markers may be missing."""

    def _calls(self) -> Wait[None]:
        yield from self._sections(SECTION, CALL, self._one)

    def _one(self) -> Wait[bool]:
        """A call after its first marker; whether another follows."""
        head, end = yield from self._until(SEPARATOR, END_CALL)
        if end != SEPARATOR or not head.strip():
            self._abandon()
            return False
        name = head.strip()
        if name == "function":
            name, end = yield from self._until("\n")
            name = name.strip()
            if not end or not name:
                self._abandon()
                return False
            yield from self._blank()
            if (yield from self._take(FENCE)):
                yield from self._until("\n")
        yield from self._marked_arguments(name, (f"\n{FENCE}", END_CALL))
        yield from self._blank_dropped()
        if (yield from self._take(FENCE)):
            yield from self._blank_dropped()
        yield from self._take(END_CALL)
        self._begin()
        yield from self._blank()
        if (yield from self._take(CALL)):
            return True
        yield from self._section_ends(END_SECTION)
        return False


class DeepSeek:
    """Marker tokens.

    Args:
        fenced: V3 and R1, whose calls hold a kind and a fenced block.
    """

    name = "deepseek"
    opener = SECTION
    markers: tuple[str, ...] = (SECTION, END_SECTION, CALL, END_CALL, SEPARATOR)
    plain_inputs = True

    def __init__(self, fenced: bool) -> None:
        self._fenced = fenced

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> DeepSeekReader:
        """Reads both forms."""
        return DeepSeekReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """One section of calls."""
        one = lark.either(self._call(lark, tool) for tool in tools)
        joint = lark.literal("\n") if self._fenced else ""
        return f"{lark.several(one, joint, parallel)} {lark.literal(END_SECTION)}"

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        style: ArgumentStyle = "plain" if tool.kind == "custom" else "json"
        if not self._fenced:
            return CallHead(re.escape(f"{CALL}{tool.name}{SEPARATOR}"), style)
        return CallHead(re.escape(f"{CALL}function{SEPARATOR}{tool.name}\n{FENCE}json\n"), style)

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as text, and calls without content as the templates tell them from answers."""
        return [
            {**message, "content": None} if message.get("tool_calls") and not message.get("content") else message
            for message in messages
        ]

    def _call(self, lark: Lark, tool: OfferedTool) -> str:
        if not self._fenced:
            head = f"{CALL}{tool.name}{SEPARATOR}"
            if tool.kind == "custom":
                return f"{lark.literal(head)} {lark.plain_input(tool, END_CALL)}"
            return f"{lark.literal(head)} {lark.arguments(tool)} {lark.literal(END_CALL)}"
        head = f"{CALL}function{SEPARATOR}{tool.name}\n{FENCE}json\n"
        tail = f"\n{FENCE}{END_CALL}"
        if tool.kind == "custom":
            return f"{lark.literal(head)} {lark.plain_input(tool, tail)}"
        return f"{lark.literal(head)} {lark.arguments(tool)} {lark.literal(tail)}"
