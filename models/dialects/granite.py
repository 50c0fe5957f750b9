"""Calls as a JSON list after Granite 3's marker."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from dovetail.models.dialects.json_calls import JsonCalls
from dovetail.models.dialects.lark import Lark, json_call
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import CallHead, OfferedTool, named_object
from dovetail.models.dialects.reading import Wait

OPENERS = ("<|tool_call|>", "<tool_call>", "<function_call>")


class GraniteReader(JsonCalls):
    """``<|tool_call|>[{...}, {...}]``, or a single object."""

    def _calls(self) -> Wait[None]:
        while (yield from self._opened(*OPENERS)):
            yield from self._blank()
            listed = yield from self._take("[")
            calls = 0
            while True:
                yield from self._blank()
                if not (yield from self._next("{")) or not (yield from self._call_object()):
                    break
                calls += 1
                self._begin()
                yield from self._blank()
                if not (yield from self._take(",")):
                    break
            if calls and listed and (yield from self._take("]")):
                self._commit()
            else:
                self._abandon()


class Granite:
    """A list after a marker."""

    name = "granite"
    opener = OPENERS[0]
    markers: tuple[str, ...] = OPENERS
    plain_inputs = False

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> GraniteReader:
        """Reads lists."""
        return GraniteReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """A list."""
        one = lark.either(json_call(lark, tool) for tool in tools)
        return f'" "? "[" {lark.several(one, lark.literal(", "), parallel)} "]"'

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        return CallHead(rf"(?:{'|'.join(map(re.escape, OPENERS))}|\}},)\s*\[?\s*{named_object(tool.name)}")

    @staticmethod
    def written(message: Message) -> Message:
        """The message with its calls in its text, for templates that show no calls of their own."""
        calls = [call["function"] for call in message["tool_calls"]]
        listed = json.dumps(
            [{"name": call["name"], "arguments": call["arguments"]} for call in calls], ensure_ascii=False
        )
        rest = {key: value for key, value in message.items() if key != "tool_calls"}
        return {**rest, "content": f"{message.get('content') or ''}{OPENERS[0]}{listed}"}

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects."""
        return [with_parsed_arguments(message) for message in messages]
