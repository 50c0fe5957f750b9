"""What usually follows in code: pairs and triples of tokens counted over the sources of Python's own standard library.

Every installation has these sources, so nothing has to be shipped, and they are nobody's secret. Counted once per engine, in
a thread, in the engine's own tokens. For drafts only: it decides nothing, and before it is there nothing waits for it.
"""

from __future__ import annotations

import keyword
import random
import re
import sysconfig
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_TOKENS, _FILE_CHARACTERS = 700_000, 60_000
_LEAST = (2, 3)
"""How often a pair and a triple must have been seen."""
_MOST, _ASKED_KEPT = 48, 10_000
_WORD = re.compile(rb"[A-Za-z_\x80-\xff][\w\x80-\xff]*\Z")
_RESERVED = frozenset(
    (
        *keyword.kwlist,
        *(
            "const",
            "let",
            "var",
            "function",
            "func",
            "fn",
            "defer",
            "mut",
            "pub",
            "impl",
            "mod",
            "trait",
            "where",
            "use",
        ),
        *("export", "interface", "type", "extends", "struct", "map", "chan", "enum", "new", "throw", "catch", "void"),
        *("this", "self", "Self", "null", "undefined", "switch", "match", "case", "default", "range"),
    )
)

Ints = npt.NDArray[np.int64]


class Counts(NamedTuple):
    """Tokens that follow and how often, the most frequent first; and how often any of them does."""

    pairs: Sequence[tuple[int, int]]
    total: int


class Usual:
    """Counts over ``texts``, each the tokens of one source; ``kinds``: the kind of every token."""

    def __init__(self, texts: Iterable[Sequence[int]], kinds: Sequence[int]) -> None:
        self.kinds = kinds
        self._size = max(1, len(kinds))
        self._asked: dict[tuple[int, ...], Counts] = {}
        arrays = [np.asarray(text, dtype=np.int64) for text in texts]
        self._tables = [_counted(arrays, depth, self._size, least) for depth, least in ((1, _LEAST[0]), (2, _LEAST[1]))]

    def after(self, context: Sequence[int]) -> Counts | None:
        """What follows ``context``, one or two tokens; None: nothing that has been seen often enough."""
        found = self._asked.get(context := tuple(context))
        if found is None:
            if len(self._asked) > _ASKED_KEPT:
                self._asked.clear()
            found = self._asked[context] = self._looked_up(context)
        return found if found.total else None

    def _looked_up(self, context: Sequence[int]) -> Counts:
        key = 0
        for token in context:
            key = key * self._size + token
        keys, starts, tokens, counts = self._tables[len(context) - 1]
        at = int(np.searchsorted(keys, key))
        if at == len(keys) or keys[at] != key:
            return Counts((), 0)
        part = slice(int(starts[at]), int(starts[at + 1]))
        return Counts(list(zip(tokens[part].tolist(), counts[part].tolist(), strict=True)), int(counts[part].sum()))


def _counted(texts: Sequence[Ints], depth: int, size: int, least: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Contexts of ``depth`` tokens in order, where the followers of each begin, the followers, their counts."""
    found = []
    for text in texts:
        key = np.zeros(max(0, len(text) - depth), dtype=np.int64)
        for back in range(depth + 1):
            key = key * size + text[back : len(text) - depth + back]
        found.append(key)
    empty = np.zeros(0, dtype=np.int64)
    grams, counts = np.unique(np.concatenate([*found, empty]), return_counts=True)
    grams, counts = grams[counts >= least], counts[counts >= least]
    order = np.lexsort((-counts, grams // size))
    contexts, tokens, counts = grams[order] // size, grams[order] % size, counts[order]
    keys, starts = np.unique(contexts, return_index=True)
    kept = np.arange(len(tokens)) - np.repeat(starts, np.diff([*starts, len(tokens)])) < _MOST
    keys, starts = np.unique(contexts[kept], return_index=True)
    return keys, np.append(starts, int(kept.sum())), tokens[kept], counts[kept]


def kind_of(spelling: bytes | None) -> object:
    """What tokens of one kind have in common: words by their case and what precedes them, numbers, line ends, blanks; any other
    spelling is a kind of its own."""
    if not spelling:
        return None
    text = spelling.strip(b" \t")
    if b"\n" in spelling:
        return "line end", spelling.strip()[:2]
    if not text:
        return "blank"
    if _WORD.match(text):
        if text.decode(errors="replace") in _RESERVED:
            return spelling
        return "word", spelling[:1] in b" \t", text.isupper(), text[:1].isupper()
    return ("number", spelling[:1] in b" \t") if text.isdigit() else spelling


def count_sources(encode: Callable[[str], list[int]], spellings: Sequence[bytes | None]) -> Usual:
    """Counts over the standard library; nothing but the kinds where its sources are not installed."""
    numbers: dict[object, int] = {}
    kinds = [numbers.setdefault(kind_of(spelling), len(numbers)) for spelling in spellings]
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    random.Random(0).shuffle(files)
    texts: list[list[int]] = []
    left = _TOKENS
    for file in files:
        if left <= 0:
            break
        try:
            text = file.read_text(encoding="utf-8")[:_FILE_CHARACTERS]
        except (OSError, UnicodeDecodeError):
            continue
        texts.append([token for token in encode(text) if token < len(kinds)])
        left -= len(texts[-1])
    return Usual(texts, kinds)


class UsualSoon:
    """Counts in a thread of its own: ``now`` is None until they are there."""

    def __init__(self, encode: Callable[[str], list[int]], spellings: Sequence[bytes | None]) -> None:
        self.now: Usual | None = None

        def count() -> None:
            self.now = count_sources(encode, spellings)

        self._thread = threading.Thread(target=count, name="usual followers", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until they are there: for benchmarks and tests."""
        self._thread.join()
