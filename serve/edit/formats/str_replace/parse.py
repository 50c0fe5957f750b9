"""Tool calls that replace, insert or create: JSON objects, one per line or in an array, in many clients' words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dovetail.serve.edit.block import Block, EditError, Edits, Operation, block_at, locate_exact, nearest_lines
from dovetail.serve.types import SourceFile

PATHS = ("file_path", "path", "filePath", "filepath", "file")
OLD = ("old_string", "oldString", "old_str", "old_text", "oldText", "search")
NEW = ("new_string", "newString", "new_str", "new_text", "newText", "replace", "insert_text")
CONTENT = ("content", "file_text", "contents")


def parse_calls(text: str, files: Sequence[SourceFile], *, lines_only: bool = True) -> Edits:
    """The edits of every call over ``files``; all refer to the files as given.

    ``lines_only``: the old string has to be whole lines, as ours are. If not, an old string that begins or ends inside a
    line is widened to whole lines, the new one with it. ``replace_all`` makes a block of every place.

    Raises:
        EditError: malformed, unknown_path, not_found, ambiguous or not_lines.
    """
    contents = {file.path: file.content for file in files}
    blocks: list[Block] = []
    operations: list[Operation] = []
    for call in _calls(text):
        index = len(blocks)
        path = _text(call, PATHS, index)
        if path is None:
            raise EditError(index, "?", "malformed", f"a call needs one of {', '.join(PATHS)}.")
        old, new, content = _text(call, OLD, index), _text(call, NEW, index), _text(call, CONTENT, index)
        if content is not None and old is None and path not in contents:
            operations.append(Operation(kind="create", path=path, content=content))
            continue
        if path not in contents:
            if old == "" and new is not None:
                operations.append(Operation(kind="create", path=path, content=new))
                continue
            raise EditError(index, path, "unknown_path", f"{path!r} is none of the given files.")
        if content is not None and old is None:
            blocks.append(block_at(path, contents[path], 0, len(contents[path]), content))
        elif "insert_line" in call and new is not None:
            blocks.append(_inserted(index, path, contents[path], call["insert_line"], new))
        elif old is None or new is None:
            raise EditError(
                index, path, "malformed", "a call needs an old and a new string, or a line and a new string."
            )
        else:
            every = call.get("replace_all", call.get("replaceAll", False)) is True
            blocks += _replaced(index, path, contents[path], old, new, every=every, lines_only=lines_only)
    return Edits(tuple(blocks), tuple(operations))


def calls_are_verbatim(text: str) -> bool:
    """Whether a string of the calls has a carriage return before a line feed; False for what is no call."""
    try:
        calls = _calls(text)
    except EditError:
        return False
    return any("\r\n" in value for call in calls for value in call.values() if isinstance(value, str))


def _calls(text: str) -> list[dict[str, Any]]:
    stripped = text.strip()
    try:
        if stripped.startswith("["):
            found = json.loads(stripped)
        else:
            found = [json.loads(line) for line in stripped.split("\n") if line.strip()] if stripped else []
    except ValueError:
        try:
            found = [json.loads(stripped)]  # one object over several lines
        except ValueError as error:
            raise EditError(0, "?", "malformed", f"the text is not JSON: {error}.") from error
    for index, call in enumerate(found):
        if not isinstance(call, dict):
            raise EditError(index, "?", "malformed", "a call must be a JSON object.")
    return list(found)


def _text(call: dict[str, Any], names: Sequence[str], index: int) -> str | None:
    for name in names:
        if name in call:
            if not isinstance(call[name], str):
                raise EditError(index, "?", "malformed", f"{name} must be a string.")
            return str(call[name])
    return None


def _inserted(index: int, path: str, content: str, line: Any, text: str) -> Block:
    bounds = [0]
    for piece in content.split("\n")[: -1 if content.endswith("\n") or not content else None]:
        bounds.append(min(bounds[-1] + len(piece) + 1, len(content)))
    if isinstance(line, bool) or not isinstance(line, int) or not 0 <= line < len(bounds):
        raise EditError(index, path, "not_found", f"insert_line must be from 0 to {len(bounds) - 1}, the file's lines.")
    place = bounds[line]
    if place == len(content) and content and not content.endswith("\n"):
        text = "\n" + text.removesuffix("\n")
    elif text and not text.endswith("\n") and content:
        text += "\n"
    return block_at(path, content, place, place, text)


def _replaced(index: int, path: str, content: str, old: str, new: str, *, every: bool, lines_only: bool) -> list[Block]:
    if lines_only or (not old and not content):
        if not content and not old:
            return [block_at(path, content, 0, 0, new)]
        start, end = locate_exact(index, path, content, old)
        return [block_at(path, content, start, end, new)]
    if not old:
        raise EditError(
            index, path, "not_found", "the old string is empty, but the file is not; quote what to replace."
        )
    places = []
    start = content.find(old)
    while start >= 0:
        places.append(start)
        start = content.find(old, start + (len(old) if every else 1))
    if not places:
        mismatch = nearest_lines(content, old)
        raise EditError(index, path, "not_found", "the old string is not in the file.", mismatch=mismatch)
    if len(places) > 1 and not every:
        detail = f"the old string is there {len(places)} times; quote more around it."
        raise EditError(index, path, "ambiguous", detail)
    return _widened(path, content, places, old, new)


def _widened(path: str, content: str, places: Sequence[int], old: str, new: str) -> list[Block]:
    """A block of whole lines for every run of lines that holds places."""
    runs: list[tuple[int, int, list[int]]] = []
    for place in places:
        begin = content.rfind("\n", 0, place) + 1
        stop = place + len(old)
        end = stop if content[stop - 1] == "\n" else content.find("\n", stop) + 1 or len(content)
        if content[stop - 1] == "\n" and new and not new.endswith("\n") and stop < len(content):
            end = content.find("\n", stop) + 1 or len(content)  # The next line is drawn up.
        if runs and begin < runs[-1][1]:
            runs[-1] = runs[-1][0], max(end, runs[-1][1]), [*runs[-1][2], place]
        else:
            runs.append((begin, end, [place]))
    blocks = []
    for begin, end, inside in runs:
        pieces, position = [], begin
        for place in inside:
            pieces += [content[position:place], new]
            position = place + len(old)
        blocks.append(block_at(path, content, begin, end, "".join([*pieces, content[position:end]])))
    return blocks
