"""A file prepared for quoting inside a JSON string: its lines as JSON escapes them. Knows no JSON beyond strings.

There is one spelling per character, that of ``json.dumps(..., ensure_ascii=False)``: the short escapes, ``\\u00xx`` for the
other controls, everything else as it is. No last line feed is imagined: what is quoted is what an unmodified client looks
for in the file.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from itertools import accumulate

from dovetail.serve.constrain.copy.prepared import PreparedFile

_ENCODER = json.JSONEncoder(ensure_ascii=False)


def escaped(text: str) -> str:
    """The inside of the JSON string that holds ``text``."""
    return _ENCODER.encode(text)[1:-1]


class EscapedFile(PreparedFile):
    """As PreparedFile; positions are of the escaped ``text``, line ends are those of the content's lines.

    Uniqueness is decided in the raw content: ``n`` is found within an escaped line feed, but not in what it stands for.
    """

    def __init__(self, raw: bytes) -> None:
        pieces = raw.split(b"\n")
        self._raw_lines = [line + b"\n" for line in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
        self._raw_ends = [0, *accumulate(map(len, self._raw_lines))]
        super().__init__(raw)
        self._bounds = [0, *self.ends]

    def _lines(self) -> list[bytes]:
        known = {line: escaped(line.decode()).encode() for line in set(self._raw_lines)}
        return [known[line] for line in self._raw_lines]

    def ends_line(self, position: int) -> bool:
        return position > 0 and self._bounds[bisect_left(self._bounds, position)] == position

    def to_raw(self, position: int) -> int:
        return self._raw_ends[bisect_left(self._bounds, position)]

    def from_raw(self, position: int) -> int:
        return self._bounds[bisect_left(self._raw_ends, min(position, len(self.raw)))]
