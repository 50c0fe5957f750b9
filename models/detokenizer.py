"""Token ids to text, one at a time. Knows what each token spells and UTF-8; nothing of stop strings or events."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from types import MappingProxyType
from typing import NewType, Protocol

DetokenizerMark = NewType("DetokenizerMark", tuple[bytes, int])
"""A point to rewind to. Immutable and small: at most three pending bytes."""

_decoder = codecs.getincrementaldecoder("utf-8")


class Speller(Protocol):
    """Knows what each token spells; a :class:`dovetail.models.tokenizer.Tokenizer` does."""

    def token_bytes(self, token_id: int) -> bytes | None:
        """The exact bytes ``token_id`` spells; None for special and unused ids."""
        ...


class Detokenizer:
    """Exact incremental detokenisation: the pieces joined are the tokens' bytes joined, read as UTF-8.

    Nothing is stripped: a token that spells a leading space gives that space. Special tokens give nothing, but for those
    of ``visible``. Bytes that are not UTF-8 become U+FFFD.

    Args:
        tokenizer: knows what each token spells.
        visible: special tokens to spell, and how.
    """

    __slots__ = ("_decoder", "_tokenizer", "_visible")

    def __init__(self, tokenizer: Speller, visible: Mapping[int, bytes] = MappingProxyType({})) -> None:
        self._tokenizer = tokenizer
        self._visible = visible
        self._decoder = _decoder("replace")

    def push(self, token_id: int) -> str:
        """The text that this token completes; never half a character."""
        spelling = self._visible.get(token_id) or self._tokenizer.token_bytes(token_id)
        return self._decoder.decode(spelling) if spelling else ""

    def flush(self) -> str:
        """End the text: U+FFFD if half a character is pending, else nothing. The detokenizer is as new afterwards."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text

    def mark(self) -> DetokenizerMark:
        """Remember this point for :meth:`rewind`."""
        return DetokenizerMark(self._decoder.getstate())

    def rewind(self, mark: DetokenizerMark) -> None:
        """Go back (or forward) to a marked point, of this detokenizer or of a copy."""
        self._decoder.setstate(mark)

    def copy(self) -> Detokenizer:
        """An independent detokenizer at the same point."""
        twin = Detokenizer(self._tokenizer, self._visible)
        twin.rewind(self.mark())
        return twin
