"""Calls as a Python list at the head of the answer: Llama 3.2 and 4. Evaluates nothing: arguments must be literals."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from keyword import iskeyword
from typing import Any

from dovetail.models.dialects.calls import CallReading
from dovetail.models.dialects.lark import Lark
from dovetail.models.dialects.messages import Message, with_parsed_arguments
from dovetail.models.dialects.pieces import BEGINNING, INPUT, CallHead, OfferedTool, schema_of
from dovetail.models.dialects.reading import Wait
from dovetail.models.dialects.schemas import properties_of, standing_alone

_DEPTH = 5
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
        """A list. Arguments come in the schema's order; strings and numbers are spelled as in JSON, as Python reads them too."""
        first = lark.either(self._call(lark, tool, "[") for tool in tools)
        more = f"({lark.either(self._call(lark, tool, ', ') for tool in tools)})*" if parallel else ""
        return f'{first} {more} "]"'

    def head(self, tool: OfferedTool) -> CallHead:
        """How a call begins: at the beginning of the answer, or behind another."""
        first = rf"{BEGINNING}\s*(?:{re.escape(START)}\s*)?\["
        return CallHead(rf"(?:{first}|\)\s*,)\s*{re.escape(tool.name)}\(", "python")

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Arguments as objects."""
        return [with_parsed_arguments(message) for message in messages]

    def _call(self, lark: Lark, tool: OfferedTool, before: str) -> str:
        schema = schema_of(tool)
        arguments = _members(lark, schema, schema, lambda name: f"{name}=", _nameable, 0)
        return f'{lark.literal(f"{before}{tool.name}(")} {arguments} ")"'


def _nameable(name: str) -> bool:
    """Whether a Python call can name the argument."""
    return name.isidentifier() and not iskeyword(name)


def _members(
    lark: Lark,
    schema: Mapping[str, Any],
    whole: Mapping[str, Any],
    key: Callable[[str], str],
    may_be: Callable[[str], bool],
    depth: int,
) -> str:
    """The properties that ``may_be``, in the schema's order, each behind its ``key``."""
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    behind, first = '""', ['""']
    for name, value in reversed(properties_of(schema).items()):
        if not may_be(name):
            continue
        rest = f"{_value(lark, value, whole, depth)} {behind}"
        first = [f"{lark.literal(key(name))} {rest}", *(first if name not in needed else ())]
        more = lark.rule(f"{lark.literal(f', {key(name)}')} {rest}")
        behind = more if name in needed else lark.rule(f"{more} | {behind}")
    return lark.either(first)


def _value(lark: Lark, schema: Any, whole: Mapping[str, Any], depth: int) -> str:
    """A literal of Python that keeps to ``schema``, as far as that is followed here."""
    schema = schema if isinstance(schema, dict) and depth < _DEPTH else {}
    kind, values = schema.get("type"), schema.get("enum")
    if kind in ("string", "integer", "number") or (values and all(isinstance(each, str) for each in values)):
        return lark.json(standing_alone(schema, whole))
    if kind == "boolean":
        return '("True" | "False")'
    if kind == "array" and isinstance(schema.get("items"), dict):
        items = properties_of({**whole, "properties": {"items": schema["items"]}})
        return lark.rule(_several(_value(lark, items["items"], whole, depth + 1), "[]"))
    if kind == "object" and properties_of(schema):
        resolved = {**whole, "properties": schema["properties"], "required": schema.get("required")}
        members = _members(lark, resolved, whole, lambda name: f"{json.dumps(name)}: ", bool, depth + 1)
        return f'"{{" {members} "}}"'
    text, colon = lark.json({"type": "string"}), lark.literal(": ")
    plain = lark.rule(r"/-?[0-9]+(\.[0-9]+)?|True|False|None/", terminal=True)
    return lark.nested(
        lambda value: f"{text} | {plain} | {_several(value, '[]')} | {_several(f'{text} {colon} {value}', '{}')}"
    )


def _several(one: str, brackets: str) -> str:
    """Any number of ``one`` in brackets."""
    return f'"{brackets[0]}" ({one} (", " {one})*)? "{brackets[1]}"'
