"""Search/replace blocks as models write them elsewhere: in fences, with prose around, the path above a fence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.serve.edit.block import Block, EditError, Edits, Operation, block_at, locate
from dovetail.serve.types import Markers, SourceFile

_SEARCH = re.compile(r"<{5,}\s*SEARCH\s*$")
_DIVIDER = re.compile(r"={5,}\s*$")
_REPLACE = re.compile(r">{5,}\s*REPLACE\s*$")
_PATH_DECORATION = " \t*`#:"


def parse_foreign_blocks(text: str, files: Sequence[SourceFile], markers: Markers) -> Edits:
    """The blocks of a text: their path is the last line above that is no fence, or that of the block before.

    Marker lines are the given ones; if the text cannot be read so, any of the usual shape. What is quoted is looked for
    exactly.

    Raises:
        EditError: malformed, unknown_path, not_found, ambiguous or not_lines.
    """
    strict = re.compile(re.escape(markers.divider) + r"[ \t]*$"), re.compile(re.escape(markers.replace) + r"[ \t]*$")
    if re.search(rf"^{re.escape(markers.search)}[ \t]*$", text, re.MULTILINE):
        try:
            return _read(text, files, re.compile(re.escape(markers.search) + r"[ \t]*$"), *strict)
        except EditError as error:
            if error.reason != "malformed":
                raise
    return _read(text, files, _SEARCH, _DIVIDER, _REPLACE)


def _read(
    text: str, files: Sequence[SourceFile], begin: re.Pattern[str], divider: re.Pattern[str], end: re.Pattern[str]
) -> Edits:
    contents = {file.path: file.content for file in files}
    blocks: list[Block] = []
    operations: list[Operation] = []
    zone, path, above = "outside", "", ""
    search: list[str] = []
    replace: list[str] = []
    for line in text.split("\n"):
        if zone == "outside":
            if begin.match(line):
                path, zone, search, replace = above or path, "search", [], []
            elif line.strip() and not line.startswith("```"):
                above = line.strip(_PATH_DECORATION)
        elif zone == "search":
            if divider.match(line):
                zone = "replace"
            else:
                search.append(line + "\n")
        elif end.match(line):
            zone, above = "outside", ""
            if path not in contents and not search:
                operations.append(Operation(kind="create", path=path, content="".join(replace)))
            else:
                blocks.append(_block(len(blocks), path, contents, "".join(search), "".join(replace)))
        else:
            replace.append(line + "\n")
    if zone != "outside":
        raise EditError(len(blocks), path or "?", "malformed", "the text ends inside the block.")
    return Edits(tuple(blocks), tuple(operations))


def _block(index: int, path: str, contents: dict[str, str], search: str, replace: str) -> Block:
    if path not in contents:
        raise EditError(index, path or "?", "unknown_path", f"{path!r} is none of the given files.")
    content = contents[path]
    place = locate(index, path, content, search)
    return block_at(path, content, place.start, place.end, replace, imagined=place.imagined)
