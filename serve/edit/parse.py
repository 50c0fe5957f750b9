"""Blocks out of a whole answer. The format is read by BlockStream; there is no second reader."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.block import Block
from dovetail.serve.edit.stream import BlockStream
from dovetail.serve.types import Markers, SourceFile


def parse_blocks(text: str, files: Sequence[SourceFile], markers: Markers) -> list[Block]:
    """The blocks of an answer, each found in its file.

    Raises:
        EditError: the first block that is malformed, names no given file, or quotes what is not there exactly once.
    """
    stream = BlockStream(files, markers)
    stream.feed(text)
    return stream.finish()
