"""Blocks out of a whole answer. The format is read by BlockStream; there is no second reader."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from dovetail.serve.edit.block import Block, Edits, Operation
from dovetail.serve.edit.formats.blocks.stream import BlockStream
from dovetail.serve.types import Markers, SourceFile


def parse_blocks(text: str, files: Sequence[SourceFile], markers: Markers) -> list[Block]:
    """The blocks of an answer, each found in its file.

    Raises:
        EditError: the first block that is malformed, names no given file, or quotes what is not there exactly once.
    """
    stream = BlockStream(files, markers)
    stream.feed(text)
    return stream.finish()


def parse_answer(text: str, files: Sequence[SourceFile], markers: Markers) -> Edits:
    """The blocks of an answer; those on a path that is not given, with nothing to search for, create files.

    Raises:
        EditError: as parse_blocks.
    """
    known = {file.path for file in files}
    lines = text.split("\n")
    heads = [path for path, marker in pairwise(lines) if marker == markers.search and path not in known]
    blocks = parse_blocks(text, [*files, *(SourceFile(path, "") for path in dict.fromkeys(heads))], markers)
    given = tuple(block for block in blocks if block.path in known)
    created = [
        Operation(kind="create", path=each.path, content=each.replace) for each in blocks if each.path not in known
    ]
    return Edits(given, tuple(created))
