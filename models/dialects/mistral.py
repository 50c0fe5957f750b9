"""Calls after Mistral's ``[TOOL_CALLS]``: a JSON list (up to 2024), or a name and its arguments (Devstral and later)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.models.dialects.lark import Lark, json_call
from dovetail.models.dialects.marked import MarkedCalls
from dovetail.models.dialects.messages import Message, with_parsed_arguments, with_short_ids
from dovetail.models.dialects.pieces import CallHead, OfferedTool, named_object
from dovetail.models.dialects.reading import Wait

OPENER, ARGUMENTS, CALL_ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"
THINK = ("[THINK]", "[/THINK]")


class MistralReader(MarkedCalls):
    """Both forms."""

    def _calls(self) -> Wait[None]:
        while (yield from self._opened(OPENER)):
            yield from self._blank()
            if (yield from self._next("[", "{")):
                yield from self._list()
            else:
                yield from self._named_call()

    def _list(self) -> Wait[None]:
        listed = yield from self._take("[")
        while True:
            yield from self._blank()
            if not (yield from self._next("{")) or not (yield from self._call_object()):
                break
            self._begin()
            yield from self._blank()
            if not listed or not (yield from self._take(",")):
                break
        if listed and (yield from self._take("]")) and self._said_call:
            self._commit()
        else:
            self._abandon()

    @property
    def _said_call(self) -> bool:
        """Whether a call has been read in this list: its beginning is no longer on trial."""
        return self._trial is not None and OPENER not in self._trial

    def _named_call(self) -> Wait[None]:
        name = ""
        while (char := (yield from self._peek())) and char not in "[{\n":
            name += self._consume(1)
        name = name.strip()
        if (yield from self._take(CALL_ID)):
            yield from self._until(ARGUMENTS)
        elif not (yield from self._take(ARGUMENTS)) and char != "{":
            name = ""
        if name:
            yield from self._marked_arguments(name, (OPENER,))
        else:
            self._abandon()


class Mistral:
    """``[TOOL_CALLS]``.

    Args:
        named: the later form, a name and ``[ARGS]``.
    """

    name = "mistral"
    opener = OPENER
    markers: tuple[str, ...] = (OPENER, ARGUMENTS, CALL_ID, *THINK)

    def __init__(self, named: bool) -> None:
        self._named = named
        self.plain_inputs = named

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> MistralReader:
        """Reads both forms."""
        return MistralReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """A list, or one marker for each call."""
        if self._named:
            number = lark.rule("/[a-zA-Z0-9]{9}/", terminal=True)
            one = lark.either(self._call(lark, tool, number) for tool in tools)
            return lark.several(one, lark.literal(OPENER), parallel)
        number = lark.rule('/, "id": "[a-zA-Z0-9]{9}"/', terminal=True)
        one = lark.either(json_call(lark, tool, after=f"{number}?") for tool in tools)
        return f'" "? "[" {lark.several(one, lark.literal(", "), parallel)} "]"'

    def _call(self, lark: Lark, tool: OfferedTool, number: str) -> str:
        with_id = f"{lark.literal(tool.name + CALL_ID)} {number} {lark.literal(ARGUMENTS)}"
        head = f"({lark.literal(tool.name + ARGUMENTS)} | {with_id})"
        if tool.kind == "custom":
            return f"{head} {lark.plain_input(tool, '')}"
        return f"{head} {lark.arguments(tool)}"

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        if not self._named:
            before = rf"(?:{re.escape(OPENER)}\s*\[|" + r'["}]\},)'  # behind a call stands its end, or its id and that
            return CallHead(rf"{before}\s*{named_object(tool.name)}")
        number = rf"(?:{re.escape(CALL_ID)}[a-zA-Z0-9]{{9}})?"
        head = rf"{re.escape(OPENER)}{re.escape(tool.name)}{number}{re.escape(ARGUMENTS)}"
        return CallHead(head, "plain" if tool.kind == "custom" else "json")

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Ids of nine letters or digits; arguments as objects where they stand in a list."""
        shown = [with_short_ids(message) for message in messages]
        return shown if self._named else [with_parsed_arguments(message) for message in shown]
