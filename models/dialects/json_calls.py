"""Tool calls written as JSON objects, read while they grow: ``{"name": ..., "arguments": {...}}`` and its variants.

What is wrong inside a call that has begun (raw line ends in strings, a missing brace) is passed on as far as it can be; what
is wrong before the tool's name is known is no call. Knows no tags around the object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from dovetail.models.dialects.calls import CallReading
from dovetail.models.dialects.pieces import INPUT, OfferedTool
from dovetail.models.dialects.reading import Wait

ARGUMENTS = ("arguments", "parameters", "args")
NAMES = ("name", "tool", "tool_name")
_INPUT = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
_CONTROL = {chr(code): json.dumps(chr(code))[1:-1] for code in range(0x20)}


class JsonCalls(CallReading):
    """What readers of JSON calls share. After a call object, ``_below`` says that a custom tool's input follows it and
    that the call has not ended."""

    def __init__(
        self, tools: Iterable[OfferedTool], *, think: tuple[str, str] | None = None, thinking: bool = False
    ) -> None:
        self._below = False
        super().__init__(tools, think=think, thinking=thinking)

    def _call_object(self, *, known: bool = False, nested: bool = False) -> Wait[bool]:
        """One call object; False if it is none (it has been consumed as far as it was looked at).

        Args:
            known: only the names of offered tools count.
            nested: it stands inside a ``function`` key.
        """
        if not (yield from self._take("{")):
            return False
        name: str | None = None
        held: str | None = None
        begun = False
        while True:
            yield from self._blank()
            if (yield from self._next("}", ",")):
                if self._consume(1) == "}":
                    break
                continue
            key = yield from self._string()
            yield from self._blank()
            if key is None or not (yield from self._take(":")):
                if begun:
                    break
                return False
            yield from self._blank()
            if key in NAMES and name is None:
                name = yield from self._string()
                if not name or (known and name not in self._tools):
                    return False
            elif key == "function" and not nested and (yield from self._next("{")):
                if not (yield from self._call_object(known=known, nested=True)):
                    return False
                begun = True
            elif key in ARGUMENTS and not begun and held is None:
                if name is None:
                    held = yield from self._value()
                else:
                    begun = True
                    yield from self._arguments(name)
            else:
                yield from self._value()
        if not begun:
            if name is None:
                return False
            self._whole_call(name, held)
        return True

    def _whole_call(self, name: str, arguments: str | None) -> None:
        """A call that was known only when it was complete."""
        self._commit()
        self._call(name)
        inner = arguments_text(self._is_custom(name), arguments or "")
        self._emit("arguments", inner)
        self._emit("end")

    def _arguments(self, name: str) -> Wait[None]:
        """The value of ``arguments``, given out while it comes."""
        self._commit()
        self._call(name)
        custom = self._is_custom(name)
        streamed = (yield from self._next("{")) and not custom
        if streamed:
            yield from self._object_streamed()
        else:
            value = yield from self._value()
            if custom and value == '"below"':
                self._below = True
                return
            self._emit("arguments", arguments_text(custom, value))
        self._emit("end")

    def _object_streamed(self) -> Wait[None]:
        scan = JsonScan()
        while True:
            end = scan.feed(self._buffer)
            self._emit("arguments", scan.take())
            self._consume(end if end is not None else len(self._buffer))
            if end is not None or self._closed:
                return
            yield

    def _value(self) -> Wait[str]:
        """Any JSON value's text."""
        if (yield from self._next("{", "[", '"')):
            scan = JsonScan()
            while True:
                end = scan.feed(self._buffer)
                self._consume(end if end is not None else len(self._buffer))
                if end is not None or self._closed:
                    return scan.take()
                yield
        word = ""
        while (char := (yield from self._peek())) and char not in ",]} \n\t\r":
            word += self._consume(1)
        return word

    def _string(self) -> Wait[str | None]:
        """A JSON string's value; None if none comes."""
        if not (yield from self._next('"')):
            return None
        try:
            value = json.loads((yield from self._value()), strict=False)
        except ValueError:
            return None
        return value if isinstance(value, str) else None


class JsonScan:
    """Finds the end of a JSON object, array or string that comes in pieces; control characters in strings become escapes."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self._out: list[str] = []

    def feed(self, text: str) -> int | None:
        """Where in ``text`` the value ends (behind it), or None if it goes on."""
        for at, char in enumerate(text):
            self._out.append(char)
            if self._quoted:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._quoted = False
                elif char in _CONTROL:
                    self._out[-1] = _CONTROL[char]
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
            if not self._quoted and self._depth <= 0:
                return at + 1
        return None

    def take(self) -> str:
        """What was scanned since the last time."""
        text = "".join(self._out)
        self._out.clear()
        return text


def arguments_text(custom: bool, value: str) -> str:
    """What a call's arguments are, given as any JSON value: an object; the same as a string; nothing; a tool's plain input."""
    try:
        parsed = json.loads(value, strict=False) if value else None
    except (ValueError, RecursionError):
        return _cut_input(value) if custom else value
    if custom:
        inner = parsed.get(INPUT) if isinstance(parsed, dict) else parsed
        return inner if isinstance(inner, str) else value
    if parsed is None:
        return "{}"
    return parsed if isinstance(parsed, str) else value


def plain_input(text: str) -> str:
    """A custom tool's input where it stands by itself; models also write it as the object that they were shown."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    inner = parsed.get(INPUT) if set(parsed) == {INPUT} else None
    return inner if isinstance(inner, str) else text


def _cut_input(value: str) -> str:
    """The input of a custom tool's call that the budget cut off."""
    begun = _INPUT.match(value)
    if begun is None:
        return value
    text = value[begun.end() :]
    for dropped in range(min(len(text), 12) + 1):
        try:
            return str(json.loads(f'"{text[: len(text) - dropped]}"', strict=False))
        except ValueError:
            continue
    return text
