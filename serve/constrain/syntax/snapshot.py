"""A recogniser's state as bytes: what both versions of the inner loop, C and Python, read and write.

A *version* is a set of ways to read the text so far: their stacks of parse states, the place up to which tokens are certain,
and what the grammar's scanner remembers there. A snapshot holds a few versions and the *tail*: the text behind the first of
those places, which is read again when more text comes. It does not say where in the file it is, so equal snapshots have
equal futures wherever they were taken; all in it is in a fixed order, so equality is equality of bytes.

Stacks with the same state on top are one *cell*: that state, and the cells below it, by their states, each state once. Equal
cells are one object, so what an ambiguity multiplies is kept once.

Knows no grammar. Layout, in the machine's byte order::

    u32 length of the tail, u32 column where it begins, u8 whether the file begins there, u8 versions, 2 bytes zero, u32 cells
    per cell, behind all that are below it: u16 state, u16 how many are below it, u32 the number of each (from 0);
        65535 instead of a number: only the one before
    per version: u32 place in the tail, u32 number of its cell, u32 length of the scanner's bytes, the scanner's bytes
    the tail
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

DEPTH, WIDTH, UNITE_DEPTH = 30_000, 64, 400
"""Limits on cells: on top of each other, side by side, and how deep below two may differ that become one."""

_HEAD = struct.Struct("=IIBBxxI")
_CELL = struct.Struct("=HH")
_VERSION = struct.Struct("=III")
_ON_PREVIOUS = 0xFFFF


class UnclearError(Exception):
    """A limit was hit or a scanner misbehaved: nothing can be said about this text."""


class Cell:
    """A set of stacks with ``state`` on top. Made by ``Cells`` only: equal ones are the same object."""

    __slots__ = ("below", "depth", "state")

    def __init__(self, state: int, below: tuple[Cell, ...]) -> None:
        self.state = state
        self.below = below
        self.depth: int = 1 + max((cell.depth for cell in below), default=0)


class Cells:
    """The cells of one computation, by what is in them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[Cell, ...]], Cell] = {}
        self._united: dict[tuple[Cell, Cell], Cell] = {}

    def cell(self, state: int, below: tuple[Cell, ...] = ()) -> Cell:
        """The cell of ``state`` on ``below``, which is in the order of its states."""
        found = self._known.get((state, below))
        if found is None:
            found = self._known[state, below] = Cell(state, below)
            if found.depth > DEPTH:
                raise UnclearError
        return found

    def united(self, a: Cell, b: Cell, level: int = 0) -> Cell:
        """The stacks of two cells with the same state, in one."""
        if a is b:
            return a
        both = self._united.get((a, b))
        if both is None:
            both = self._united[a, b] = self._unite(a, b, level)
        return both

    def _unite(self, a: Cell, b: Cell, level: int) -> Cell:
        if level > UNITE_DEPTH or len(a.below) + len(b.below) > WIDTH:
            raise UnclearError
        below = {cell.state: cell for cell in a.below}
        for cell in b.below:
            twin = below.get(cell.state)
            below[cell.state] = self.united(twin, cell, level + 1) if twin else cell
        return self.cell(a.state, tuple(below[state] for state in sorted(below)))

    def gathered(self, cells: Iterable[Cell]) -> list[Cell]:
        """The same stacks, each state on top once."""
        found: dict[int, Cell] = {}
        for cell in cells:
            twin = found.get(cell.state)
            found[cell.state] = self.united(twin, cell) if twin else cell
            if len(found) > WIDTH:
                raise UnclearError
        return list(found.values())


class Version(NamedTuple):
    """Readings that agree on: the stacks' top state, the certain text's end in the tail, the scanner's bytes there."""

    stack: Cell
    position: int
    scanner: bytes


class Snapshot(NamedTuple):
    """``column``: characters between the last line feed and the tail. ``at_start``: the tail begins where the file does."""

    versions: tuple[Version, ...]
    tail: bytes
    column: int
    at_start: bool


def encoded(snapshot: Snapshot) -> bytes:
    """The bytes of a snapshot."""
    versions = sorted(snapshot.versions, key=_order)
    parts: list[bytes] = []
    numbers: dict[Cell, int] = {}
    for version in versions:
        _encode_cells(version.stack, numbers, parts)
    head = _HEAD.pack(len(snapshot.tail), snapshot.column, snapshot.at_start, len(versions), len(numbers))
    for stack, position, scanner in versions:
        parts += [_VERSION.pack(position, numbers[stack], len(scanner)), scanner]
    return b"".join([head, *parts, snapshot.tail])


def _order(version: Version) -> tuple[int, int, bytes, int]:
    return version.position, len(version.scanner), version.scanner, version.stack.state


def _encode_cells(stack: Cell, numbers: dict[Cell, int], parts: list[bytes]) -> None:
    path = [(stack, iter(stack.below))]
    while path:
        cell, below = path[-1]
        following = None if cell in numbers else next(below, None)
        if following is not None:
            path.append((following, iter(following.below)))
            continue
        path.pop()
        if cell in numbers:
            continue
        on_previous = len(cell.below) == 1 and numbers[cell.below[0]] == len(numbers) - 1
        numbers[cell] = len(numbers)
        parts.append(_CELL.pack(cell.state, _ON_PREVIOUS if on_previous else len(cell.below)))
        if not on_previous:
            parts.append(struct.pack(f"={len(cell.below)}I", *(numbers[lower] for lower in cell.below)))


def decoded(content: bytes, cells: Cells) -> Snapshot:
    """The snapshot that ``encoded`` turned into ``content``."""
    length, column, at_start, count, cell_count = _HEAD.unpack_from(content)
    at = _HEAD.size
    made: list[Cell] = []
    for _ in range(cell_count):
        state, width = _CELL.unpack_from(content, at)
        at += _CELL.size
        if width == _ON_PREVIOUS:
            made.append(cells.cell(state, (made[-1],)))
        else:
            made.append(
                cells.cell(state, tuple(made[number] for number in struct.unpack_from(f"={width}I", content, at)))
            )
            at += 4 * width
    versions = []
    for _ in range(count):
        position, number, size = _VERSION.unpack_from(content, at)
        at += _VERSION.size
        versions.append(Version(made[number], position, content[at : at + size]))
        at += size
    if at + length != len(content):
        raise ValueError("not a snapshot")
    return Snapshot(tuple(versions), content[at:], column, bool(at_start))


START = encoded(Snapshot((Version(Cells().cell(1), 0, b""),), b"", 0, True))
"""Before the first byte of a file: tree-sitter's parsers begin in state 1."""
