"""What two formats of hunks differ in: the words around the lines. Knows no file and no constraint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """The literals of a format of hunks.

    ``begin`` and ``end`` enclose an answer. ``update``: the head of a file's first hunk, ``hunk``: of the next ones;
    ``anchor``: before a line of the file that the hunk lies behind, where the format has that. ``delete``: a whole file.
    ``create`` comes before a new path, ``created`` behind its line. ``rename`` comes before a new path, ``renamed`` behind
    its line: a hunk's head, or nothing where a rename needs no hunk.
    """

    begin: bytes
    end: bytes
    update: Callable[[bytes], bytes]
    hunk: bytes
    delete: Callable[[bytes], bytes]
    create: bytes
    created: bytes
    rename: Callable[[bytes], bytes]
    renamed: bytes
    anchor: bytes | None = None

    @property
    def endings(self) -> tuple[bytes, ...]:
        """What may come behind a hunk's last line, up to the first path."""
        heads = {head(b"\n").partition(b"\n")[0] for head in (self.update, self.delete, self.rename)} | {self.create}
        return (self.hunk, *([self.anchor] if self.anchor else []), *sorted(heads), self.end)
