"""Calls as bare JSON objects at the head of the answer: Llama 3.1 to 3.3, with or without ``<|python_tag|>``.

Without a marker an answer may be JSON that is no call: only the name of an offered tool makes it one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.models.dialects.json_calls import JsonCalls
from dovetail.models.dialects.lark import Lark, json_call
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import BEGINNING, CallHead, OfferedTool, named_object
from dovetail.models.dialects.reading import Wait

TAG = "<|python_tag|>"


class LlamaReader(JsonCalls):
    """``{"name": ..., "parameters": {...}}``, several with ``;`` or line ends between."""

    def _calls(self) -> Wait[None]:
        self._begin()
        yield from self._blank()
        if (yield from self._next("{")):
            yield from self._objects(known=True)
        else:
            self._abandon()
        while (yield from self._opened(TAG)):
            yield from self._blank()
            yield from self._objects(known=False)

    def _objects(self, *, known: bool) -> Wait[None]:
        while (yield from self._next("{")) and (yield from self._call_object(known=known)):
            self._begin()
            yield from self._blank()
            yield from self._take(";")
            yield from self._blank()
            yield from self._take(TAG)
        if self._trial is not None and not "".join(self._trial).strip(" \n;"):
            self._commit()
        else:
            self._abandon()


class Llama:
    """Bare JSON."""

    name = "llama_json"
    opener = ""
    markers: tuple[str, ...] = (TAG,)
    plain_inputs = False

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> LlamaReader:
        """Reads objects."""
        return LlamaReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> str:
        """An object that begins with a name."""
        return r'\s*\{\s*"name"'

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """Objects with semicolons between."""
        one = lark.either(json_call(lark, tool, "parameters") for tool in tools)
        return lark.several(one, lark.literal("; "), parallel)

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins."""
        return CallHead(rf"(?:{BEGINNING}|;|{re.escape(TAG)})\s*{named_object(tool.name, '(?:parameters|arguments)')}")

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects."""
        return [with_parsed_arguments(message) for message in messages]
