"""Calls as XML-like functions and parameters: Qwen3-Coder, Seed-OSS' kin."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.models.dialects.lark import Lark, named_values
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import CallHead, OfferedTool
from dovetail.models.dialects.reading import Wait
from dovetail.models.dialects.tagged_values import TaggedValues

OPENER, CLOSER = "<tool_call>", "</tool_call>"
FUNCTION, END_FUNCTION = "<function=", "</function>"
PARAMETER, END_PARAMETER = "<parameter=", "</parameter>"


class QwenCoderReader(TaggedValues):
    """``<tool_call><function=name><parameter=key>value</parameter></function></tool_call>``; the outer tag may be missing."""

    def _calls(self) -> Wait[None]:
        yield from self._sections(OPENER, FUNCTION, self._function)

    def _function(self) -> Wait[bool]:
        """The one call of a section, after its first marker."""
        name, end = yield from self._until(">", "\n")
        if end != ">" or not name.strip():
            self._abandon()
            return False
        self._open(name.strip())
        while True:
            yield from self._blank()
            if not (yield from self._take(PARAMETER)):
                break
            key, end = yield from self._until(">")
            if not end:
                break
            follows = (PARAMETER, END_FUNCTION, CLOSER)
            yield from self._parameter(key.strip(), END_PARAMETER, follows, lines=True)
        self._close()
        yield from self._take(END_FUNCTION)
        self._begin()
        yield from self._blank()
        yield from self._section_ends(CLOSER)
        return False


class QwenCoder:
    """Functions and parameters in tags."""

    name = "qwen3_coder"
    opener = OPENER
    markers: tuple[str, ...] = (OPENER, CLOSER)
    plain_inputs = True

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> QwenCoderReader:
        """Reads tags."""
        return QwenCoderReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """One outer tag for each call, parameters in the schema's order."""
        one = lark.either(self._call(lark, tool) for tool in tools)
        return lark.several(one, lark.literal(f"\n{OPENER}"), parallel)

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        return CallHead(rf"{FUNCTION}{re.escape(tool.name)}>", "tagged", (PARAMETER, ">\n", f"\n{END_PARAMETER}\n"))

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects: templates go through their items."""
        return [with_parsed_arguments(message) for message in messages]

    def _call(self, lark: Lark, tool: OfferedTool) -> str:
        head = lark.literal(f"\n{FUNCTION}{tool.name}>\n")
        values = named_values(lark, tool, (PARAMETER, ">\n"), f"\n{END_PARAMETER}\n")
        return " ".join((head, values, lark.literal(f"{END_FUNCTION}\n{CLOSER}")))
