"""The one way to tree-sitter's parsers: with the text made harmless for scanners that are not. Judges nothing.

tree-sitter-bash's scanner asks C's ``isalpha`` and the like about any code point: one beyond 255 reads outside the C library's
table, which crashes the process or not, depending on where it lies (found by benchmarks/edit_fuzz.py with an emoji).
"""

from __future__ import annotations

import re

from tree_sitter import Parser, Tree

from dovetail.serve.constrain.syntax.languages import grammar

LATIN_1_ONLY = frozenset({"bash"})
"""Languages whose scanner may be asked about no code point beyond 255."""

_BEYOND_LATIN_1 = re.compile(rb"[\xc4-\xf4][\x80-\xbf]+")
_STAND_INS = {2: "\u00ff".encode(), 3: "\u00ff.".encode(), 4: "\u00ff\u00ff".encode()}
"""By length in bytes: characters that a scanner may be asked about, no letters to it, like those they stand for."""


def parse(language: str, text: bytes, old_tree: Tree | None = None) -> Tree:
    """The tree of ``text``, incrementally from ``old_tree`` if given. Byte offsets are those of ``text``."""
    parser = Parser(grammar(language))
    text = harmless(language, text)
    return parser.parse(text, old_tree) if old_tree is not None else parser.parse(text)


def harmless(language: str, text: bytes) -> bytes:
    """``text`` with every character that the language's scanner cannot bear replaced, byte for byte."""
    if language not in LATIN_1_ONLY or text.isascii():
        return text
    return _BEYOND_LATIN_1.sub(lambda match: _STAND_INS[len(match[0])] if len(match[0]) <= 4 else match[0], text)
