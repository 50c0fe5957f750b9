"""Identifiers that an output has replaced by others, so that drafts go on doing so. Drafts may guess; nothing is decided here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import NamedTuple

from dovetail.serve.edit.plan import Plan
from dovetail.serve.edit.zones.far_trail import FarTrail
from dovetail.serve.pointer import Trail

Renames = dict[bytes, bytes]
"""Old identifier to new; never changed once made."""

_PIECES = re.compile(rb"[A-Za-z_]\w*|\d+|\s+|.", re.DOTALL)
_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*\Z")
_WORDS = re.compile(rb"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_CHANGES_AT_MOST = 4
_LEARNT_FROM_BYTES = 16_384
_AHEAD = 2_048
_LINE_AT_MOST = 128


def _camel(words: list[bytes]) -> bytes:
    return words[0] + b"".join(word.capitalize() for word in words[1:])


_STYLES: tuple[Callable[[list[bytes]], bytes], ...] = (
    b"_".join,
    lambda words: b"_".join(words).upper(),
    lambda words: b"".join(word.capitalize() for word in words),
    _camel,
)


def learnt(old: bytes, new: bytes) -> Renames:
    """What a line's change renames, if a few identifiers are all that changed in it."""
    if old == new:
        return {}
    before, after = _PIECES.findall(old), _PIECES.findall(new)
    if len(before) != len(after):
        return {}
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    if len(changed) > _CHANGES_AT_MOST or not all(_IDENTIFIER.match(a) and _IDENTIFIER.match(b) for a, b in changed):
        return {}
    return dict(changed)


def learnt_from(old: bytes, new: bytes) -> Renames:
    """What the changed lines of an edit rename; nothing of an edit that takes long to compare."""
    found: Renames = {}
    if max(len(old), len(new)) > _LEARNT_FROM_BYTES:
        return found
    before, after = old.splitlines(True), new.splitlines(True)
    for kind, low, high, new_low, new_high in difflib.SequenceMatcher(None, before, after, False).get_opcodes():
        if kind == "replace":
            for a, b in zip(before[low:high], after[new_low:new_high], strict=False):
                found |= learnt(a, b)
    return found


def renamed(text: bytes, renames: Renames) -> bytes:
    """``text`` with every identifier renamed, in other styles (``a_b``, ``A_B``, ``AB``, ``aB``) too."""
    if not renames:
        return text
    every = dict(renames)
    for old, new in renames.items():
        words, others = ([word.lower() for word in _WORDS.findall(name)] for name in (old, new))
        if words and others:
            for style in _STYLES:
                every.setdefault(style(words), style(others))
    return _PIECES.sub(lambda piece: every.get(piece.group(), piece.group()), text)


class Renaming(NamedTuple):
    """The trail that a replacement's draft follows, and the renames that it was made with."""

    trail: Trail
    renames: Renames

    def behind(self, line: bytes, place: int, plan: Plan) -> Renaming:
        """Once ``line`` has been written for the trail's line that ends at ``place``: what follows it is renamed as well."""
        tokens = self.trail.tokens
        fresh = learnt(_line_before(tokens, place, plan), line)
        if all(self.renames.get(old) == new for old, new in fresh.items()):
            return self
        renames = self.renames | fresh
        ahead = _spelt(tokens[place : place + _AHEAD], plan)
        text = renamed(ahead, renames)
        following = plan.tokens_after(b"", text)
        if text == ahead or not following:
            return Renaming(self.trail, renames)
        return Renaming(FarTrail([*tokens[:place], *following, *tokens[place + _AHEAD :]]), renames)


def _spelt(tokens: list[int], plan: Plan) -> bytes:
    return b"".join(plan.vocabulary.spelling(token) or b"" for token in tokens)


def _line_before(tokens: list[int], place: int, plan: Plan) -> bytes:
    """The line that ends at ``place``; of a long one its end, from which nothing is learnt."""
    text = _spelt(tokens[max(0, place - _LINE_AT_MOST) : place], plan)
    return text[text.rfind(b"\n", 0, len(text) - 1) + 1 :]
