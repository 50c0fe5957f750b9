"""Keeps user text from turning into special tokens on its way through a prompt template.

A template mixes its own special tokens (``<|im_start|>``) with strings that users supply. :meth:`Shield.protect` puts an
invisible mark into every special-token string of user text, and at its ends where joining it with what stands there could
make one; a special token of a single character is escaped instead;
:meth:`Shield.split` cuts the rendered prompt at the special tokens that are still whole and takes the marks out again.
The marks are Unicode noncharacters; user text that holds those very characters survives, because they are escaped.

Knows strings only: no ids, no template language, no tokenizer library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

MARK = "\ufdd0"
ESCAPE = "\ufdd1"


@dataclass(frozen=True)
class SpecialRule:
    """How one special token is recognised: whether it swallows white space on its left or right."""

    lstrip: bool = False
    rstrip: bool = False


class Shield:
    """Protection against, and recognition of, one tokenizer's special tokens.

    Args:
        rules: the special-token strings, none of them empty.
    """

    def __init__(self, rules: Mapping[str, SpecialRule]) -> None:
        contents = sorted(rules, key=lambda content: (-len(content), content))
        alternatives = "|".join(re.escape(content) for content in contents)
        whole = "|".join(
            (r"\s*" if rules[c].lstrip else "") + f"({re.escape(c)})" + (r"\s*" if rules[c].rstrip else "")
            for c in contents
        )
        self._starts = re.compile(f"(?={alternatives})") if contents else None
        self._whole = re.compile(whole) if contents else None
        self._heads = tuple({content[:length] for content in contents for length in range(1, len(content))})
        self._tails = tuple({content[length:] for content in contents for length in range(1, len(content))})
        singles = [MARK, ESCAPE, *(content for content in contents if len(content) == 1)]
        self._escapes = {ord(single): ESCAPE + chr(ord(ESCAPE) + 1 + i) for i, single in enumerate(singles)}
        self._unescapes = {escaped: chr(single) for single, escaped in self._escapes.items()}
        self._escaped = re.compile("|".join(map(re.escape, self._unescapes)))

    def protect(self, text: str) -> str:
        """``text`` such that :meth:`split` finds no special token in it, wherever a template puts it."""
        text = text.translate(self._escapes)
        if self._starts is None:
            return text
        places = {match.start() + 1 for match in self._starts.finditer(text)} | self._seams(text)
        if not places:
            return text
        cuts = [0, *sorted(places), len(text)]
        return MARK.join(text[a:b] for a, b in pairwise(cuts))

    def split(self, rendered: str) -> Iterator[tuple[str, str | None]]:
        """``(text, None)`` and ``("", special)`` pieces of a rendered prompt in order; texts are not empty."""
        position = 0
        for match in self._whole.finditer(rendered) if self._whole else ():
            if match.start() > position:
                yield from self._text(rendered[position : match.start()])
            assert match.lastindex is not None
            yield "", match.group(match.lastindex)
            position = match.end()
        if position < len(rendered):
            yield from self._text(rendered[position:])

    def cuts(self, text: str) -> list[str]:
        """``text`` in pieces such that no piece holds a whole special token of two characters or more."""
        places = [match.start() + 1 for match in self._starts.finditer(text)] if self._starts else []
        bounds = [0, *places, len(text)]
        return [text[a:b] for a, b in pairwise(bounds) if a < b]

    def _seams(self, text: str) -> set[int]:
        """The ends of ``text`` where half a special token lies (white space aside, which templates may trim).

        A text that is the very middle of a special token is left alone: templates write ``<|{{ role }}|>``.
        """
        places = set()
        trimmed = text.rstrip()
        if trimmed.endswith(self._heads):
            places.add(len(trimmed))
        if text.lstrip().startswith(self._tails):
            places.add(len(text) - len(text.lstrip()))
        return places

    def _text(self, piece: str) -> Iterator[tuple[str, None]]:
        piece = piece.replace(MARK, "")
        if ESCAPE in piece:
            piece = self._escaped.sub(lambda match: self._unescapes[match.group()], piece)
        if piece:
            yield piece, None
