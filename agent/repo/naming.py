"""The names that a file uses, where, how and on what; names that are bound locally are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tree_sitter import Node

from dovetail.agent.repo.facts import USE_KINDS, Use
from dovetail.agent.repo.outline import Outline, Scope

_CALL, _BASE, _MEMBER, _USE = range(len(USE_KINDS))
_NAME = rb"[\w$\x80-\xff]*[A-Za-z_$@\x80-\xff]"
_JOINT = rb"\s*(?:\.\??|\.&|>-|::|\\)\s*"
_JOINT_BEFORE = re.compile(_JOINT)
_RECEIVER = re.compile(_JOINT + rb"(\)[^()]*\()?\s*(" + _NAME + rb"(?:" + _JOINT + _NAME + rb")*)")
"""What stands before a name, read backwards."""

_LOOK_BACK = 120


def names_used(
    content: bytes, captures: dict[str, list[Node]], shape: Outline, imports: list[tuple[int, int]]
) -> dict[str, list[Use]]:
    """Uses by name. ``imports`` are the stretches of import statements, whose names are told by the imports."""
    starts = {kind: {node.start_byte for node in captures.get(kind, ())} for kind in ("call", "base", "member", "skip")}
    where = _Position(shape.scopes)
    local = _locals(content, captures.get("local", ()), shape)
    bound = {node.start_byte for node in captures.get("local", ())}
    found: dict[str, list[Use]] = {}
    importing = _Stretches(imports)
    seen = -1
    for start, end, row in sorted(_places(captures.get("use", ()))):
        if start in {seen, end} or start in shape.name_starts or start in starts["skip"] or importing.holds(start):
            continue
        seen = start
        name = content[start:end].decode("utf-8", "replace")
        stack = where.at(start)
        member = start in starts["member"]
        if not member and any(name in local.get(index, ()) for index in stack):
            continue
        if start in bound and not member:
            continue
        kind = _CALL if start in starts["call"] else _BASE if start in starts["base"] else _MEMBER if member else _USE
        scope = next((shape.scopes[index].index for index in reversed(stack) if shape.scopes[index].index >= 0), -1)
        receiver = _receiver(content, start) if member or kind == _BASE else ""
        found.setdefault(name, []).append((kind, row + 1, scope, receiver))
    return found


def _places(nodes: Iterable[Node]) -> Iterator[tuple[int, int, int]]:
    for node in nodes:
        yield node.start_byte, node.end_byte, node.start_point[0]


def _locals(content: bytes, nodes: Iterable[Node], shape: Outline) -> dict[int, set[str]]:
    """The names that each function binds, by the index of its scope."""
    found: dict[int, set[str]] = {}
    where = _Position(shape.scopes)
    for start, end, _ in sorted(_places(nodes)):
        stack = where.at(start)
        if stack and shape.scopes[stack[-1]].callable and start not in shape.name_starts:
            found.setdefault(stack[-1], set()).add(content[start:end].decode("utf-8", "replace"))
    return found


def _receiver(content: bytes, start: int) -> str:
    """The chain of names before the dot, ``()`` marking a call's result; empty where it is anything else."""
    before = content[max(0, start - _LOOK_BACK) : start][::-1]
    matched = _RECEIVER.match(before)
    if matched is None or _JOINT_BEFORE.match(before, matched.end()):
        return ""
    chain = re.sub(rb"\s+", b"", matched[2][::-1]) + (b"()" if matched[1] is not None else b"")
    return chain.decode("utf-8", "replace")


class _Position:
    """The scopes around a place, asked for in the order of the text."""

    def __init__(self, scopes: list[Scope]) -> None:
        self._scopes = scopes
        self._next = 0
        self._open: list[int] = []

    def at(self, start: int) -> list[int]:
        """Indices of the scopes around ``start``, outermost first. Valid until the next call."""
        scopes, open_ = self._scopes, self._open
        while self._next < len(scopes) and scopes[self._next].start <= start:
            while open_ and scopes[open_[-1]].end <= scopes[self._next].start:
                open_.pop()
            open_.append(self._next)
            self._next += 1
        while open_ and scopes[open_[-1]].end <= start:
            open_.pop()
        return open_


class _Stretches:
    """Whether places, asked for in the order of the text, lie in one of some sorted stretches."""

    def __init__(self, stretches: list[tuple[int, int]]) -> None:
        self._stretches = stretches
        self._next = 0
        self._end = -1

    def holds(self, start: int) -> bool:
        while self._next < len(self._stretches) and self._stretches[self._next][0] <= start:
            self._end = max(self._end, self._stretches[self._next][1])
            self._next += 1
        return start < self._end
