"""Calls as a name, and keys and values in tags: GLM 4.5 and later."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.models.dialects.lark import Lark, named_values
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import CallHead, OfferedTool
from dovetail.models.dialects.reading import Wait
from dovetail.models.dialects.tagged_values import TaggedValues

OPENER, CLOSER = "<tool_call>", "</tool_call>"
KEY, END_KEY = "<arg_key>", "</arg_key>"
VALUE, END_VALUE = "<arg_value>", "</arg_value>"


class GlmReader(TaggedValues):
    """``<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>``."""

    def _calls(self) -> Wait[None]:
        while (yield from self._opened(OPENER)):
            yield from self._blank()
            name, end = yield from self._name()
            if not end or not name:
                self._abandon()
                continue
            self._open(name)
            while (yield from self._pair()):
                pass
            self._close()
            yield from self._take(CLOSER)

    def _name(self) -> Wait[tuple[str, bool]]:
        """The name, which ends before a tag or a line end."""
        name = ""
        while (char := (yield from self._peek())) and char not in "\n<":
            name += self._consume(1)
        return name.strip(), bool(char)

    def _pair(self) -> Wait[bool]:
        yield from self._blank()
        if not (yield from self._take(KEY)):
            return False
        key, end = yield from self._until(END_KEY)
        yield from self._blank()
        if not end or not (yield from self._take(VALUE)):
            return False
        yield from self._parameter(key.strip(), END_VALUE, (KEY, CLOSER), lines=False)
        return True


class Glm:
    """Keys and values in tags.

    Args:
        lines: each on a line of its own (4.5, 4.6), not one behind the other (4.7).
    """

    name = "glm"
    opener = OPENER
    markers: tuple[str, ...] = (OPENER, CLOSER, KEY, END_KEY, VALUE, END_VALUE)
    plain_inputs = True

    def __init__(self, lines: bool = True) -> None:
        self._line = "\n" if lines else ""

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> GlmReader:
        """Reads tags."""
        return GlmReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """One outer tag for each call, parameters in the schema's order."""
        one = lark.either(self._call(lark, tool) for tool in tools)
        return lark.several(one, lark.literal(f"{self._line}{OPENER}"), parallel)

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins; without lines, nothing ends a name before the tag of its first key."""
        tags = (KEY, f"{END_KEY}{self._line}{VALUE}", f"{END_VALUE}{self._line}")
        return CallHead(rf"{OPENER}{re.escape(tool.name)}{self._line or KEY}", "tagged", tags)

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects: templates go through their items."""
        return [with_parsed_arguments(message) for message in messages]

    def _call(self, lark: Lark, tool: OfferedTool) -> str:
        line = self._line
        values = named_values(lark, tool, (KEY, f"{END_KEY}{line}{VALUE}"), f"{END_VALUE}{line}")
        return " ".join((lark.literal(f"{tool.name}{line}"), values, lark.literal(CLOSER)))
