"""Calls as a Python list at the head of the answer: Llama 3.2 and 4. Evaluates nothing: arguments must be literals."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from dovetail.models.dialects.calls import CallReading
from dovetail.models.dialects.lark import Lark
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import INPUT, CallHead, OfferedTool, schema_of
from dovetail.models.dialects.reading import Wait
from dovetail.models.dialects.schemas import properties_of

START, END = "<|python_start|>", "<|python_end|>"


class PythonicReader(CallReading):
    """``[name(key="value"), other()]``; each call is given out when it is whole."""

    def _calls(self) -> Wait[None]:
        self._begin()
        yield from self._blank()
        yield from self._take(START)
        yield from self._blank()
        if not (yield from self._take("[")):
            self._abandon()
            yield from self._rest()
            return
        while True:
            yield from self._blank()
            call = parsed_call((yield from self._expression()))
            if call is None or call[0] not in self._tools:
                break
            self._give(*call)
            self._begin()
            yield from self._blank()
            if not (yield from self._take(",")):
                break
        if self._trim and (yield from self._take("]")):
            yield from self._blank()
            yield from self._take(END)
            self._commit()
        else:
            self._abandon()
        yield from self._rest()

    def _give(self, name: str, arguments: dict[str, Any]) -> None:
        self._commit()
        self._call(name)
        if self._is_custom(name):
            self._emit("arguments", str(arguments.get(INPUT, "")))
        else:
            self._emit("arguments", json.dumps(arguments, ensure_ascii=False))
        self._emit("end")

    def _expression(self) -> Wait[str]:
        """Text up to a comma or a bracket that belongs to the list."""
        text, depth, quote, escaped = "", 0, "", False
        while char := (yield from self._peek()):
            if quote:
                quote = "" if char == quote and not escaped else quote
                escaped = char == "\\" and not escaped
            elif char in "'\"":
                quote = char
            elif char in "([{":
                depth += 1
            elif char in ")]}" and depth:
                depth -= 1
            elif char in ",]" and not depth:
                break
            text += self._consume(1)
        return text


def parsed_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """``name(key=literal, ...)``, or None."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
            return None
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        json.dumps(arguments)
        return ast.unparse(node.func), arguments
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


class Pythonic:
    """A Python list."""

    name = "pythonic"
    opener = ""
    markers: tuple[str, ...] = (START, END)
    plain_inputs = False

    def reader(self, tools: Sequence[OfferedTool], think: tuple[str, str] | None, thinking: bool) -> PythonicReader:
        """Reads lists."""
        return PythonicReader(tools, think=think, thinking=thinking)

    def lead(self, tools: Sequence[OfferedTool]) -> str:
        """A list that begins with a tool's name."""
        names = "|".join(re.escape(tool.name).replace("/", "\\/") for tool in tools)
        return rf"\s*\[({names})\("

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """A list; values are written as JSON, which Python reads but for true, false and null."""
        first = lark.either(self._call(lark, tool, "[") for tool in tools)
        more = f"({lark.either(self._call(lark, tool, ', ') for tool in tools)})*" if parallel else ""
        return f'{first} {more} "]"'

    def head(self, tool: OfferedTool) -> CallHead | None:
        """How a call begins."""
        return None  # values are given out when the call is whole

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects."""
        return [with_parsed_arguments(message) for message in messages]

    def _call(self, lark: Lark, tool: OfferedTool, before: str) -> str:
        names = list(properties_of(schema_of(tool)))
        value = lark.rule(r'/"([^"\\\n]|\\["\\nt])*"|-?[0-9]+(\.[0-9]+)?|True|False|None/', terminal=True)
        pairs = [f"{lark.literal(f'{name}=')} {value}" for name in names]
        inner = f"(({' | '.join(pairs)}) ({lark.literal(', ')} ({' | '.join(pairs)}))*)?" if pairs else '""'
        return f'{lark.literal(f"{before}{tool.name}(")} {inner} ")"'
