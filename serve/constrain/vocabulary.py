"""The vocabulary as bytes: what each token spells, and tables over it. Knows no tokenizer library and no model.

Also keeps, bounded, what others derive from it (prepared files): such things live and die with their vocabulary.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import TypeVar, cast

import numpy as np

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.constrain.utf8 import CONTINUATIONS, START, STATES, forbidden_controls, run

T = TypeVar("T")
_DERIVED_KEPT, _DERIVED_LEAST = 64 << 20, 4096
_FEW = 100


class Vocabulary:
    """Exact bytes of every token.

    Args:
        tokens: ``tokens[id]`` is what the token spells, or None for special, control and unused ids.
        encode: the tokenizer's encoding of ordinary text into ids (no special tokens), used for drafts only.
    """

    def __init__(self, tokens: Sequence[bytes | None], encode: Callable[[str], list[int]]) -> None:
        self._tokens = tuple(tokens)
        self.encode = encode
        self._derived: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._derived_size = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def words(self) -> int:
        """Length of a bit mask over this vocabulary, in 32-bit words."""
        return (len(self._tokens) + 31) // 32

    def spelling(self, token: int) -> bytes | None:
        """The bytes of ``token``; None if it spells nothing or is no id of this vocabulary."""
        return self._tokens[token] if 0 <= token < len(self._tokens) else None

    @cached_property
    def _sorted(self) -> tuple[list[bytes], list[int]]:
        pairs = sorted((spelling, token) for token, spelling in enumerate(self._tokens) if spelling)
        return [spelling for spelling, _ in pairs], [token for _, token in pairs]

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest token."""
        return max((len(spelling) for spelling in self._sorted[0]), default=0)

    @cached_property
    def prefixes(self) -> dict[bytes, tuple[int, ...]]:
        """A flat trie: every prefix of a spelling, with the tokens spelled exactly so (often none).

        One hash look-up per byte of a walk; a node object per byte would take 150 MB at 150,000 tokens, this takes 40.
        """
        table: dict[bytes, tuple[int, ...]] = {}
        for spelling, token in zip(*self._sorted, strict=True):
            for length in range(len(spelling) - 1, 0, -1):
                prefix = spelling[:length]
                if prefix in table:
                    break
                table[prefix] = ()
            table[spelling] = (*table.get(spelling, ()), token)
        return table

    def under(self, prefix: bytes) -> list[int]:
        """The tokens whose spelling begins with ``prefix`` and goes on after it."""
        spellings, tokens = self._sorted
        index = bisect_left(spellings, prefix + b"\x00")
        found = []
        while index < len(spellings) and spellings[index].startswith(prefix):
            found.append(tokens[index])
            index += 1
        return found

    def along(self, text: bytes) -> list[int]:
        """The tokens whose spelling is a prefix of ``text``."""
        table = self.prefixes
        found: list[int] = []
        for length in range(1, len(text) + 1):
            tokens = table.get(text[:length])
            if tokens is None:
                break
            found.extend(tokens)
        return found

    @cached_property
    def plain(self) -> bytes:
        """1 for every token of whole characters with neither a line feed nor a forbidden control, 0 for the others."""
        return bytes(
            spelling is not None
            and len(spelling) > 0
            and b"\n" not in spelling
            and forbidden_controls().search(spelling) is None
            and run(START, spelling) == START
            for spelling in self._tokens
        )

    @cached_property
    def _text_masks(self) -> tuple[tuple[Int32Array, Int32Array], ...]:
        pattern = forbidden_controls()
        accepted: list[tuple[list[int], list[int]]] = [([], []) for _ in range(STATES)]
        for token, spelling in enumerate(self._tokens):
            if not spelling:
                continue
            clean = pattern.search(spelling) is None
            for state in CONTINUATIONS if 0x80 <= spelling[0] < 0xC0 else (START,):
                if run(state, spelling) is not None:
                    accepted[state][1].append(token)
                    if clean:
                        accepted[state][0].append(token)
        return tuple((self.pack(strict), self.pack(lenient)) for strict, lenient in accepted)

    def text_mask(self, state: int, controls: bool = False) -> Int32Array:
        """The tokens that go on as UTF-8 from ``state`` of the decoder; shared: do not write into it.

        ``controls``: do not leave out tokens that hold control characters.
        """
        return self._text_masks[state][controls]

    @cached_property
    def _string_tokens(self) -> Int32Array:
        controls = frozenset(range(0x20))
        spellings = ((token, spelling) for token, spelling in enumerate(self._tokens) if spelling)
        return self.pack([token for token, spelling in spellings if b'"' in spelling or not controls & set(spelling)])

    def string_mask(self, state: int) -> Int32Array:
        """The tokens that go on inside a JSON string, or that may end it; shared: do not write into it."""
        return self.text_mask(state, controls=True) & self._string_tokens

    def led_by(self, bytes_: bytes) -> Int32Array:
        """The tokens whose first byte is one of ``bytes_``; shared: do not write into it."""

        def build() -> Int32Array:
            return self.pack(
                [token for token, spelling in enumerate(self._tokens) if spelling and spelling[0] in bytes_]
            )

        return self.derived(("led by", bytes_), build)

    def pack(self, tokens: Iterable[int]) -> Int32Array:
        """The bit mask of ``tokens``."""
        chosen = np.fromiter(tokens, dtype=np.int64)
        if len(chosen) <= _FEW:  # a tenth of the time
            packed = bytearray(4 * self.words)
            for token in chosen.tolist():
                packed[token >> 3] |= 1 << (token & 7)
            return np.frombuffer(packed, dtype="<i4")
        bits = np.zeros(self.words * 32, dtype=np.bool_)
        bits[chosen] = True
        return np.packbits(bits, bitorder="little").view(np.dtype("<i4"))

    def derived(self, key: Hashable, build: Callable[[], T], size: int = 0) -> T:
        """``build()``, or what it gave for the same ``key`` before.

        ``size``: bytes of what it was built from; of 64 MiB of these the least recently used are forgotten.
        """
        with self._lock:
            if key in self._derived:
                self._derived.move_to_end(key)
                return cast(T, self._derived[key][0])
        made = build()
        with self._lock:
            if key in self._derived:
                return cast(T, self._derived[key][0])  # Another thread was first.
            self._derived_size += size + _DERIVED_LEAST - self._derived.get(key, (None, 0))[1]
            self._derived[key] = made, size + _DERIVED_LEAST
            while self._derived_size > _DERIVED_KEPT:
                self._derived_size -= self._derived.popitem(last=False)[1][1]
        return made
