"""The syntax gate: whether a changed text brings a syntax error that the original did not have.

Knows texts and changes of text, not blocks, tokens or markers. tree-sitter judges every language it has a grammar for;
Python's own parser judges after it, if it accepts the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from typing import NamedTuple

from tree_sitter import Node, Point, Tree

from dovetail.serve.constrain.syntax.change import Change, changed
from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.constrain.syntax.python import PythonJudge
from dovetail.serve.types import Syntax


class Fault(NamedTuple):
    """An error node (kind ERROR) or a node that the parser had to invent (kind: its type)."""

    start: int
    end: int
    kind: str


class Verdict(NamedTuple):
    """``overruled``: tree-sitter says otherwise than the recogniser did. ``found``: what a review found, as it wrote it.
    ``broken``: the text was too much for its parser."""

    holds: bool
    overruled: bool = False
    found: bytes = b""
    broken: bool = False


class SyntaxGate:
    """Judges changed versions of one original text.

    Args:
        path: decides the language.
        original: the text before any change.
    """

    def __init__(self, path: str, original: bytes) -> None:
        self.original = original
        names = languages_of(path)
        self.language = names[0] if names else None
        self._tree: Tree | None = None
        for name in names:
            tree = parse(name, original)
            if self._tree is None or not tree.root_node.has_error:
                self._tree, self.language = tree, name
            if not tree.root_node.has_error:
                break
        self._faults = frozenset(_faults(self._tree)) if self._tree else frozenset()

    @property
    def faulty(self) -> bool:
        """Whether the original has errors of its own."""
        return bool(self._faults)

    @cached_property
    def _python(self) -> PythonJudge | None:
        return PythonJudge(self.original) if self.language == "python" else None

    def prepare(self) -> None:
        """Do ahead what the first judgement needs."""
        _ = self._python

    @cached_property
    def syntax(self) -> Syntax:
        """Which parser vouches for changed versions."""
        if self.language is None:
            return "off"
        return "compiler" if self._python is not None and self._python.sound else "tree-sitter"

    def holds(self, changes: Sequence[Change]) -> bool:
        """Whether the original with ``changes`` (sorted, disjoint) parses with no error that it did not have before."""
        if self.language is None:
            return True
        trimmed = [kept for kept in (_trim(self.original, change) for change in changes) if kept]
        if not trimmed:
            return True
        content = changed(self.original, trimmed)
        tree = parse(self.language, content)
        if tree.root_node.has_error and not self._faults_known(tree, trimmed):
            return False
        return self._python_accepts(trimmed)

    def judge(self, changes: Sequence[Change], expected: bool | None) -> Verdict:
        """``holds``, where the recogniser may say what to expect: then all is parsed only if a quick look says otherwise."""
        if expected is None or self._tree is None or self._faults:
            return Verdict(self.holds(changes))
        trimmed = [kept for kept in (_trim(self.original, change) for change in changes) if kept]
        if not trimmed or self.seems_to_hold(trimmed) == expected:
            verdict = expected or not trimmed
        else:
            assert self.language is not None
            verdict = not parse(self.language, changed(self.original, trimmed)).root_node.has_error
        return Verdict(verdict and (not trimmed or self._python_accepts(trimmed)), verdict != expected)

    def _python_accepts(self, changes: Sequence[Change]) -> bool:
        return self._python is None or not self._python.sound or self._python.accepts(changes)

    def seems_to_hold(self, changes: Sequence[Change]) -> bool:
        """A quick guess of ``holds``: parses again only what changed, and asks no compiler."""
        if self._tree is None or self._faults:
            return True
        tree = self._tree.copy()
        for change in reversed(changes):
            new_end = change.start + len(change.replacement)
            start = _point(self.original, change.start)
            tree.edit(
                start_byte=change.start,
                old_end_byte=change.end,
                new_end_byte=new_end,
                start_point=start,
                old_end_point=_point(self.original, change.end),
                new_end_point=_beyond(start, change.replacement),
            )
        assert self.language is not None
        return not parse(self.language, changed(self.original, changes), tree).root_node.has_error

    def _faults_known(self, tree: Tree, changes: Sequence[Change]) -> bool:
        """Whether each fault of ``tree`` lies, mapped back through ``changes``, where the original has the same one."""
        if not self._faults:
            return False
        for fault in _faults(tree):
            places = product(_origins(fault.start, changes), _origins(fault.end, changes))
            if not any(Fault(start, end, fault.kind) in self._faults for start, end in places):
                return False
        return True


def _faults(tree: Tree) -> Iterator[Fault]:
    pending: list[Node] = [tree.root_node]
    while pending:
        node = pending.pop()
        if node.is_missing:
            yield Fault(node.start_byte, node.end_byte, node.type)
        elif node.is_error:
            yield Fault(node.start_byte, node.end_byte, "ERROR")
        if node.has_error:
            pending.extend(node.children)


def _trim(original: bytes, change: Change) -> Change | None:
    """``change`` without the text that it leaves as it was at either end; None if that is all of it."""
    old, new = original[change.start : change.end], change.replacement
    if old == new:
        return None
    shorter = min(len(old), len(new))
    head = next((k for k in range(shorter) if old[k] != new[k]), shorter)
    tail = next((k for k in range(shorter - head) if old[-1 - k] != new[-1 - k]), shorter - head)
    return Change(change.start + head, change.end - tail, new[head : len(new) - tail])


def _origins(position: int, changes: Sequence[Change]) -> set[int]:
    """Where in the original a position of the changed text was: nowhere inside new text, perhaps two at its ends."""
    shift = 0
    places: set[int] = set()
    for change in changes:
        begin = change.start + shift
        if position < begin:
            return places | {position - shift}
        if position == begin:
            places.add(change.start)
        shift += len(change.replacement) - (change.end - change.start)
        if position < change.end + shift:
            return places
        if position == change.end + shift:
            places.add(change.end)
    return places | {position - shift}


def _point(content: bytes, position: int) -> Point:
    line_start = content.rfind(b"\n", 0, position) + 1
    return Point(content.count(b"\n", 0, position), position - line_start)


def _beyond(start: Point, text: bytes) -> Point:
    rows = text.count(b"\n")
    return Point(start.row + rows, len(text) - text.rfind(b"\n") - 1 if rows else start.column + len(text))
