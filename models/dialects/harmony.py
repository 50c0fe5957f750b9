"""Channels between marker tokens: gpt-oss. Thoughts, calls and the answer are messages with a header each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.models.dialects.json_calls import JsonCalls, arguments_text, plain_input
from dovetail.models.dialects.lark import Lark
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import ArgumentStyle, CallHead, OfferedTool
from dovetail.models.dialects.reading import Wait

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
OPENER = f"{CHANNEL}commentary to=functions."
_RECIPIENT = re.compile(r"to=(?:functions\.)?([^\s<]+)")


class HarmonyReader(JsonCalls):
    """``<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...``."""

    def _answer(self) -> Wait[None]:
        if (yield from self._take(" to=")):  # the recipient may stand before the channel too
            header, end = yield from self._until(MESSAGE, *ENDS)
            if end == MESSAGE:
                yield from self._body(f"to={header}")
            else:
                self._say(f" to={header}")
        while marker := (yield from self._copy("text", (START, CHANNEL, MESSAGE, *ENDS))):
            if marker in ENDS:
                continue
            header = ""
            if marker != MESSAGE:
                header, end = yield from self._until(MESSAGE, *ENDS)
                if end != MESSAGE:
                    self._say(header)
                    continue
            yield from self._body(header)

    def _body(self, header: str) -> Wait[None]:
        recipient = _RECIPIENT.search(header)
        if recipient is not None and self._tools:
            name = recipient.group(1)
            self._call(name)
            if not self._is_custom(name):
                yield from self._blank()
            if (yield from self._next("{")) and not self._is_custom(name):
                yield from self._object_streamed()
                yield from self._until(*ENDS, START)
            else:
                text, _ = yield from self._until(*ENDS, START)
                custom = self._is_custom(name)
                self._emit("arguments", plain_input(text) if custom else arguments_text(False, text))
            self._emit("end")
        elif "analysis" in header:
            self._structure()
            yield from self._copy("reasoning", (*ENDS, START))
        else:
            self._trim = False
            yield from self._copy("text", (*ENDS, START))


class Harmony:
    """Channels."""

    name = "harmony"
    opener = OPENER
    markers: tuple[str, ...] = (START, CHANNEL, CONSTRAIN, MESSAGE, *ENDS)
    plain_inputs = True

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> HarmonyReader:
        """Reads channels, reasoning too."""
        return HarmonyReader(tools)

    def lead(self, tools: Sequence[OfferedTool]) -> None:
        """Calls have an opener."""

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """One call: it ends the answer."""
        return lark.either(self._call(lark, tool) for tool in tools)

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        style: ArgumentStyle = "plain" if tool.kind == "custom" else "json"
        return CallHead(rf"to=functions\.{re.escape(tool.name)}(?:[\s<][^\n]{{0,80}}?)?{re.escape(MESSAGE)}", style)

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects, and reasoning before a call under the name that the template reads."""
        return [
            {**message, "thinking": message["reasoning_content"]}
            if message.get("tool_calls") and message.get("reasoning_content") and not message.get("content")
            else message
            for message in map(with_parsed_arguments, messages)
        ]

    def _call(self, lark: Lark, tool: OfferedTool) -> str:
        if tool.kind == "custom":
            head = lark.literal(f"{tool.name} {CONSTRAIN}text{MESSAGE}")
            return f"{head} {lark.plain_input(tool, '<|call|>')}"
        head = lark.literal(f"{tool.name} {CONSTRAIN}json{MESSAGE}")
        return f"{head} {lark.arguments(tool)} {lark.literal('<|call|>')}"
