"""A change of a text, in bytes. Knows no parser and no edit format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Change(NamedTuple):
    """The bytes ``start:end`` of the original become ``replacement``."""

    start: int
    end: int
    replacement: bytes


def changed(original: bytes, changes: Sequence[Change], start: int = 0, end: int | None = None) -> bytes:
    """``original`` from ``start`` to ``end`` with ``changes``, which are sorted, disjoint and lie there."""
    pieces, position = [], start
    for change in changes:
        pieces += [original[position : change.start], change.replacement]
        position = change.end
    return b"".join([*pieces, original[position:end]])
