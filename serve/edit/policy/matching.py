"""What an edit brings that was not there: matches in new text. Knows no rule and no language.

A match is new if the original has none with the same key, or fewer. So text that is kept, moved or written again as it was
is never held against an edit. The answer depends on the two texts alone, not on how an edit was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from typing import NamedTuple

from tree_sitter import Node, Tree

from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.edit.policy.lines import common_start


class Span(NamedTuple):
    """Bytes of a text."""

    start: int
    end: int

    def touches(self, node: Node) -> bool:
        """Whether the node holds any of them, or lies beside them."""
        return node.start_byte <= self.end and node.end_byte >= self.start


class Match(NamedTuple):
    """Something found: ``key`` is what it is compared by, ``node`` where it is."""

    key: tuple[str, ...]
    node: Node


Finder = Callable[[Tree, Span], Iterable[Match]]
"""Finds all matches that touch a span; others may be among them."""


class Revision:
    """A text before and after, in one language; each is parsed once, when it is first asked for."""

    def __init__(self, language: str, before: bytes, after: bytes) -> None:
        self.language = language
        self.before = before
        self.after = after

    @cached_property
    def old(self) -> Tree:
        """The text before."""
        return original(self.language, self.before)

    @cached_property
    def new(self) -> Tree:
        """The text after."""
        return parse(self.language, self.after)

    @cached_property
    def spans(self) -> tuple[Span, Span]:
        """What the two texts do not have in common, between a common beginning and a common end."""
        head = common_start(self.before, self.after)
        tail = common_start(self.before[head:][::-1], self.after[head:][::-1])
        return Span(head, len(self.before) - tail), Span(head, len(self.after) - tail)

    def new_matches(self, find: Finder) -> Iterator[Match]:
        """What ``find`` finds in the new text and not, or less often, in the old, in the text's order."""
        if self.before == self.after:
            return
        old_span, new_span = self.spans
        found = sorted(
            (match for match in find(self.new, new_span) if new_span.touches(match.node)),
            key=lambda match: (match.node.start_byte, match.node.end_byte),
        )
        if not found:
            return
        known = Counter(match.key for match in find(self.old, old_span) if old_span.touches(match.node))
        for match in found:
            if known[match.key]:
                known[match.key] -= 1
            else:
                yield match


@lru_cache(maxsize=8)
def original(language: str, text: bytes) -> Tree:
    """Kept, as many changes of one original are looked at in a row."""
    return parse(language, text)


def text_of(node: Node) -> str:
    """The node's text, each run of blanks as one."""
    return " ".join((node.text or b"").decode("utf-8", "replace").split())


def line_of(node: Node) -> int:
    """The line in which the node begins, from 1."""
    return node.start_point.row + 1
