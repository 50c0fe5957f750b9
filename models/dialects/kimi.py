"""Calls between Kimi K2's marker tokens; names are written ``functions.name:0``, and so are its call ids."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.models.dialects.lark import Lark
from dovetail.models.dialects.marked import MarkedCalls
from dovetail.models.dialects.messages import Message
from dovetail.models.dialects.pieces import CallHead, OfferedTool
from dovetail.models.dialects.reading import Wait

SECTION, END_SECTION = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, END_CALL = "<|tool_call_begin|>", "<|tool_call_end|>"
ARGUMENTS = "<|tool_call_argument_begin|>"
_ID = re.compile(r"(?:functions\.)?(?P<name>.+?)(?::\d+)?")


class KimiReader(MarkedCalls):
    """A section of calls."""

    def _calls(self) -> Wait[None]:
        yield from self._sections(SECTION, CALL, self._one)

    def _one(self) -> Wait[bool]:
        """A call after its first marker; whether another follows."""
        head, end = yield from self._until(ARGUMENTS, END_CALL)
        found = _ID.fullmatch(head.strip())
        if end != ARGUMENTS or found is None:
            self._abandon()
            return False
        yield from self._marked_arguments(found["name"], (END_CALL,))
        yield from self._blank_dropped()
        yield from self._take(END_CALL)
        self._begin()
        yield from self._blank()
        if (yield from self._take(CALL)):
            return True
        yield from self._section_ends(END_SECTION)
        return False


class Kimi:
    """Marker tokens."""

    name = "kimi"
    opener = SECTION
    markers: tuple[str, ...] = (SECTION, END_SECTION, CALL, END_CALL, ARGUMENTS)
    plain_inputs = True

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> KimiReader:
        """Reads sections."""
        return KimiReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """One section of calls."""
        number = lark.rule("/[0-9]{1,3}/", terminal=True)
        one = lark.either(self._call(lark, tool, number) for tool in tools)
        return f"{lark.several(one, '', parallel)} {lark.literal(END_SECTION)}"

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        head = rf"{re.escape(CALL)}functions\.{re.escape(tool.name)}:\d+{re.escape(ARGUMENTS)}"
        return CallHead(head, "plain" if tool.kind == "custom" else "json")

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Ids as Kimi counts them, which are all that its templates show of a name; arguments as text."""
        ids: dict[str, str] = {}
        shown = []
        for message in messages:
            changed = dict(message)
            for call in message.get("tool_calls") or ():
                ids[call["id"]] = f"functions.{call['function']['name']}:{len(ids)}"
            if message.get("tool_calls"):
                changed["tool_calls"] = [{**call, "id": ids[call["id"]]} for call in message["tool_calls"]]
            if message["role"] == "tool":
                call_id = message.get("tool_call_id", "")
                changed["tool_call_id"] = ids.get(call_id, call_id)
            shown.append(changed)
        return shown

    def _call(self, lark: Lark, tool: OfferedTool, number: str) -> str:
        head = f"{lark.literal(f'{CALL}functions.{tool.name}:')} {number} {lark.literal(ARGUMENTS)}"
        if tool.kind == "custom":
            return f"{head} {lark.plain_input(tool, END_CALL)}"
        return f"{head} {lark.arguments(tool)} {lark.literal(END_CALL)}"
