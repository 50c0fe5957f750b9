"""Known text prepared for being quoted from, at any character: where a quotation occurs, and where it may end.

As the output writes it: as it is, or as a JSON string spells it. Knows no tools and no tokens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.constrain.copy.escaped import escaped

Places = npt.NDArray[np.int64]
_TOGETHER = 8
_BETWEEN = b"\xff"
"""Stands between two pieces: no UTF-8 text holds it."""


def json_inside(text: str) -> bytes:
    """``text`` inside a JSON string, in the one spelling that the grammars of calls allow."""
    return escaped(text).replace("\x7f", "\\u007f").encode(errors="replace")


class ShownText:
    """What is known of a file.

    Args:
        pieces: consecutive texts of it; the only one, where ``whole``.
        whole: the piece is all of the file, so that a quotation of it must be unique.
        in_json: it is quoted inside JSON strings.
        closed: first and last line, from 1, of what is not quoted; only where ``whole``.
    """

    def __init__(
        self, pieces: tuple[str, ...], *, whole: bool, in_json: bool, closed: tuple[tuple[int, int], ...] = ()
    ) -> None:
        self.pieces = pieces
        self.whole = whole
        self.in_json = in_json
        written = [json_inside(piece) if in_json else piece.encode(errors="replace") for piece in pieces]
        self.text = _BETWEEN.join(written)
        self.masks: dict[tuple[bytes, bool, bytes], Int32Array] = {}
        self._closed = closed

    @cached_property
    def _bytes(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self.text, dtype=np.uint8)

    @cached_property
    def aligned(self) -> npt.NDArray[np.bool_]:
        """Where a character begins, or the text ends."""
        begins = np.ones(len(self.text) + 1, dtype=np.bool_)
        begins[:-1] = (self._bytes & 0xC0) != 0x80
        if self.in_json:
            for place in self._escapes():
                begins[place + 1 : place + (6 if self.text[place + 1] == 0x75 else 2)] = False
        begins[:-1] &= self._bytes != _BETWEEN[0]
        return begins

    def _escapes(self) -> Iterator[int]:
        place = self.text.find(b"\\")
        while place >= 0:
            yield place
            place = self.text.find(b"\\", place + 2)

    @cached_property
    def line_ends(self) -> list[int]:
        """The places behind line feeds."""
        if not self.in_json:
            return [place + 1 for place, byte in enumerate(self.text) if byte == 0x0A]
        return [place + 2 for place in self._escapes() if self.text[place + 1] == 0x6E]

    @cached_property
    def closed(self) -> list[tuple[int, int]]:
        """What is not quoted, with the line feed before it."""
        feed, starts = 2 if self.in_json else 1, [0, *self.line_ends]
        return [
            (max(0, starts[first - 1] - feed), starts[last] if last < len(starts) else len(self.text))
            for first, last in self._closed
        ]

    def is_open(self, place: int, depth: int) -> bool:
        """Whether the ``depth`` bytes from ``place`` may be quoted."""
        return not any(place < end and start < place + depth for start, end in self.closed)

    def could_be_once(self, place: int) -> bool:
        """Whether a quotation that begins there can get unique before what is not quoted."""
        end = min((start for start, _ in self.closed if start >= place), default=len(self.text))
        written = self.text[place:end]
        return bool(written) and len(self.occurrences(written)) == 1

    @cached_property
    def repeats_from(self) -> int:
        """From where on the text up to the end is not unique: a quotation that begins there could never be."""
        low, high = 0, len(self.text)
        while low < high:
            middle = (low + high) // 2
            while middle < high and not self.aligned[middle]:
                middle += 1
            if middle < high and self._is_once(self.text[middle:]):
                low = middle + 1
            else:
                high = (low + high) // 2
        return low

    def _is_once(self, ending: bytes) -> bool:
        """Whether what the text ends in is nowhere else in it."""
        place = self.text.find(ending)
        while place < len(self.text) - len(ending) and not self.aligned[place]:
            place = self.text.find(ending, place + 1)
        return place == len(self.text) - len(ending)

    def occurrences(self, written: bytes) -> Places:
        """Where ``written`` occurs, at characters' beginnings."""
        found: list[int] = []
        place = self.text.find(written)
        while place >= 0:
            if self.aligned[place]:
                found.append(place)
            place = self.text.find(written, place + 1)
        return np.asarray(found, dtype=np.int64)

    def going_on(self, places: Places, depth: int, written: bytes) -> Places:
        """Those of ``places`` at which ``written`` comes ``depth`` bytes on."""
        for offset, byte in enumerate(written, depth):
            places = places[places + offset < len(self.text)]
            places = places[self._bytes[places + offset] == byte]
        return places

    def several_lines(self, place: int, depth: int) -> bool:
        """Whether the ``depth`` bytes from ``place`` hold a line feed."""
        return bisect_right(self.line_ends, place) < bisect_right(self.line_ends, place + depth)

    def line_end(self, place: int) -> int:
        """The end of the line, or of the piece, that ``place`` is in."""
        index = bisect_right(self.line_ends, place)
        end = self.line_ends[index] if index < len(self.line_ends) else len(self.text)
        between = self.text.find(_BETWEEN, place, end)
        return end if between < 0 else between

    def line_start(self, place: int) -> int:
        """The beginning of the line, or of the piece, that ``place`` is in."""
        index = bisect_left(self.line_ends, place + 1) - 1
        start = self.line_ends[index] if index >= 0 else 0
        return max(start, self.text.rfind(_BETWEEN, start, place) + 1)

    def windows(self, places: Places, depth: int, longest: int) -> set[bytes]:
        """What comes ``depth`` bytes on, at most ``longest`` bytes and not beyond a piece."""
        found: set[bytes] = set()
        for place in places.tolist():
            window = self.text[place + depth : place + depth + longest]
            found.add(window.partition(_BETWEEN)[0])
        found.discard(b"")
        return found

    def beginnings(self, places: Places, depth: int, known: Callable[[bytes], bool]) -> Places:
        """Walk on from ``depth`` bytes behind all ``places`` at once, byte by byte, as far as ``known`` says yes to what has come.

        Each distinct text is asked about once. Returns the places that are still known after eight bytes.
        """
        values = np.zeros(len(places), dtype=np.uint64)
        for length in range(1, _TOGETHER + 1):
            inside = places + (depth + length - 1) < len(self.text)
            places, values = places[inside], values[inside]
            fresh = self._bytes[places + (depth + length - 1)]
            inside = fresh != _BETWEEN[0]
            places, values = places[inside], (values[inside] << np.uint64(8)) | fresh[inside]
            distinct, which = np.unique(values, return_inverse=True)
            going_on = [known(value.to_bytes(length, "big")) for value in distinct.tolist()]
            alive = np.asarray(going_on, dtype=np.bool_)[which]
            places, values = places[alive], values[alive]
        return places

    def starts(self) -> Places:
        """Every place at which a quotation may begin."""
        return np.flatnonzero(self.aligned[:-1])
