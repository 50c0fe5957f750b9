"""Calls whose parameters are written one by one, as they are, between tags: the ground of Qwen3-Coder's and GLM's readers.

A value's type is its schema's: text is streamed as a JSON string, everything else is read as JSON once it is whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dovetail.models.dialects.calls import CallReading
from dovetail.models.dialects.pieces import INPUT, OfferedTool, schema_of
from dovetail.models.dialects.reading import Wait, held_back
from dovetail.models.dialects.schemas import is_text, properties_of


class TaggedValues(CallReading):
    """What both have in common."""

    def __init__(
        self, tools: Sequence[OfferedTool], *, think: tuple[str, str] | None = None, thinking: bool = False
    ) -> None:
        self._parameters = 0
        self._custom = False
        self._properties: dict[str, Any] = {}
        super().__init__(tools, think=think, thinking=thinking)

    def _open(self, name: str) -> None:
        tool = self._tools.get(name)
        self._properties = properties_of(schema_of(tool)) if tool is not None else {}
        self._custom = self._is_custom(name)
        self._parameters = 0
        self._commit()
        self._call(name)

    def _close(self) -> None:
        if not self._custom:
            self._emit("arguments", "}" if self._parameters else "{}")
        self._emit("end")

    def _parameter(self, name: str, closer: str, after: Sequence[str], *, lines: bool) -> Wait[None]:
        """One value up to ``closer``.

        Args:
            after: what may follow a real closer; one that is part of the value is followed by something else.
            lines: the value stands on lines of its own.
        """
        if lines:
            yield from self._take("\n")
        if self._custom:
            yield from self._value(closer, after, lines, self._plain if name == INPUT else None)
            return
        head = "{" if not self._parameters else ", "
        self._parameters += 1
        self._emit("arguments", f"{head}{json.dumps(name, ensure_ascii=False)}: ")
        if is_text(self._properties.get(name)):
            self._emit("arguments", '"')
            yield from self._value(closer, after, lines, self._escaped)
            self._emit("arguments", '"')
        else:
            parts: list[str] = []
            yield from self._value(closer, after, lines, parts.append)
            self._emit("arguments", as_json("".join(parts)))

    def _plain(self, text: str) -> None:
        self._emit("arguments", text)

    def _escaped(self, text: str) -> None:
        self._emit("arguments", json.dumps(text, ensure_ascii=False)[1:-1])

    def _value(self, closer: str, after: Sequence[str], lines: bool, give: Any) -> Wait[None]:
        markers = (f"\n{closer}", closer) if lines else (closer,)
        while True:
            hit = min(((at, -len(m), m) for m in markers if (at := self._buffer.find(m)) >= 0), default=None)
            end = hit[0] if hit is not None else len(self._buffer)
            if hit is None and not self._closed:
                end -= held_back(self._buffer, markers)
            text, self._buffer = self._buffer[:end], self._buffer[end:]
            if give is not None and text:
                give(text)
            if hit is not None:
                marker = hit[2]
                if (yield from self._really_ends(len(marker), after)):
                    self._consume(len(marker))
                    return
                text, self._buffer = self._buffer[: len(marker)], self._buffer[len(marker) :]
                if give is not None:
                    give(text)
            elif self._closed:
                return
            else:
                yield

    def _really_ends(self, behind: int, after: Sequence[str]) -> Wait[bool]:
        """Whether what follows the next ``behind`` characters, white space aside, can follow a value."""
        while True:
            rest = self._buffer[behind:].lstrip()
            if rest.startswith(tuple(after)):
                return True
            if self._closed:
                return not rest
            if rest and not any(each.startswith(rest) for each in after):
                return False
            yield


def as_json(text: str) -> str:
    """The text of a value that is not a string, as JSON; as a JSON string if it is none."""
    text = text.strip()
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        words = {"True": "true", "False": "false", "None": "null"}
        return words.get(text) or json.dumps(text, ensure_ascii=False)
    return text
