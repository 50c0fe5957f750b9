"""Calls as JSON in ``<tool_call>`` tags: Hermes, Qwen 2.5 and 3, SmolLM3, Granite 4, and models that know no tools.

A custom tool with a Lark grammar cannot be held to it inside a JSON string. Its arguments are the word ``"below"``, and the
input follows the object as it is, up to the closing tag.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dovetail.models.dialects.json_calls import JsonCalls
from dovetail.models.dialects.lark import Lark, json_call
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import CallHead, OfferedTool, named_object, writes_plain
from dovetail.models.dialects.reading import Wait

OPENER, CLOSER = "<tool_call>", "</tool_call>"
BELOW = "below"
NEW_LINE = "\n"
TAIL = f"\n{CLOSER}"


class HermesReader(JsonCalls):
    """``<tool_call>{...}</tool_call>``, any number, with text around."""

    def _calls(self) -> Wait[None]:
        while (yield from self._opened(OPENER)):
            yield from self._tagged()

    def _tagged(self) -> Wait[None]:
        yield from self._blank()
        calls = 0
        while (yield from self._next("{")):
            if not (yield from self._call_object()):
                self._abandon()
                return
            calls += 1
            if self._below:
                self._below = False
                yield from self._take("\n")
                yield from self._copy("arguments", (TAIL, CLOSER))
                self._emit("end")
                return
            self._begin()
            yield from self._blank()
            yield from self._take(",")
            yield from self._blank()
        closed = (yield from self._take(CLOSER)) or (self._closed and not self._buffer)
        if closed and calls:
            self._commit()
        else:
            self._abandon()


class Hermes:
    """JSON in tags."""

    name = "hermes"
    opener = OPENER
    markers: tuple[str, ...] = (OPENER, CLOSER)
    plain_inputs = True

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> HermesReader:
        """Reads tags."""
        return HermesReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """One tag for each call."""
        one = lark.either(self._call(lark, tool) for tool in tools)
        return lark.several(one, lark.literal(f"\n{OPENER}"), parallel)

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        if writes_plain(tool):
            return CallHead(rf'{OPENER}\s*{named_object(tool.name)}\s*"{BELOW}"\s*\}}\n', "plain")
        return CallHead(rf"{OPENER}\s*{named_object(tool.name)}")

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects: templates write them with ``tojson``."""
        return [with_parsed_arguments(message) for message in messages]

    def _call(self, lark: Lark, tool: OfferedTool) -> str:
        if tool.kind == "custom" and tool.grammar is not None and tool.grammar.syntax == "lark":
            head = f'\n{{"name": {json.dumps(tool.name)}, "arguments": "{BELOW}"}}\n'
            return f"{lark.literal(head)} {lark.plain_input(tool, TAIL)}"
        return f"{json_call(lark, tool, before=NEW_LINE)} {lark.literal(TAIL)}"
