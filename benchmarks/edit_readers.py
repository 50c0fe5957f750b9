"""What an output in each edit format makes of its files, read by plain rules. Shares no code with the server.

Reads what a model is held to, nothing more: strict forms, whole lines, quotations that are there once, no new files.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator


class NotAnEdit(ValueError):
    """The text breaks its format's rules."""


Span = tuple[int, int, str]
"""Characters of a content, and what becomes of them."""


def result_of(name: str, text: str, files: dict[str, str], markers: tuple[str, str, str], fence: str) -> dict[str, str]:
    """The files after the edits.

    Raises:
        NotAnEdit: it cannot be applied by the rules.
    """
    readers: dict[str, Callable[[], Iterator[tuple[str, Span]]]] = {
        "blocks": lambda: _blocks(text, files, markers),
        "apply_patch": lambda: _hunks(text, files, _PATCH),
        "unified_diff": lambda: _hunks(text, files, _DIFF),
        "whole_file": lambda: _whole(text, files, fence),
        "str_replace": lambda: _calls(text, files),
    }
    spans: dict[str, list[Span]] = {}
    for path, span in readers[name]():
        spans.setdefault(path, []).append(span)
    after = dict(files)
    for path, found in spans.items():
        content = files[path]
        found.sort(key=lambda span: span[:2])
        for before, following in itertools.pairwise(found):
            _require(before[1] <= following[0] and before[:2] != following[:2], "overlapping")
        for start, end, new in reversed(found):
            content = content[:start] + new + content[end:]
        if name == "apply_patch" and content and not content.endswith("\n"):
            content += "\n"
        after[path] = content
    return after


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise NotAnEdit(what)


def _place(content: str, quoted: str, new: str) -> Span:
    """Where whole lines stand that are there once; at the end of a file without a line feed, they have none either."""
    if not content and not quoted:
        return 0, 0, new
    if quoted not in content and quoted[:-1] and content.endswith(quoted[:-1]) and not content.endswith("\n"):
        quoted, new = quoted[:-1], new.removesuffix("\n")
    places = [index for index in range(len(content)) if content.startswith(quoted, index)] if quoted else []
    _require(len(places) == 1, f"there {len(places)} times")
    start, end = places[0], places[0] + len(quoted)
    _require(start == 0 or content[start - 1] == "\n", "begins inside a line")
    _require(end == len(content) or content[end - 1] == "\n", "ends inside a line")
    return start, end, new


def _blocks(text: str, files: dict[str, str], markers: tuple[str, str, str]) -> Iterator[tuple[str, Span]]:
    lines = text.split("\n")
    _require(lines.pop() == "", "ends inside a line")
    at = 0
    while at < len(lines):
        path = lines[at]
        _require(path in files and lines[at + 1 : at + 2] == [markers[0]], "head")
        try:
            divider = lines.index(markers[1], at + 2)
            end = lines.index(markers[2], divider + 1)
        except ValueError as error:
            raise NotAnEdit("a block does not end") from error
        quoted, new = lines[at + 2 : divider], lines[divider + 1 : end]
        yield path, _place(files[path], "".join(f"{line}\n" for line in quoted), "".join(f"{line}\n" for line in new))
        at = end + 1


_PATCH = (r"\*\*\* Begin Patch\n", r"\*\*\* End Patch\n?", r"\*\*\* Update File: (.+)\n", r"@@(?: .*)?\n")
_DIFF = (r"```diff\n", r"```\n?", r"diff --git a/(.+) b/\1\n--- a/\1\n\+\+\+ b/\1\n", r"@@ @@\n")


def _hunks(text: str, files: dict[str, str], words: tuple[str, str, str, str]) -> Iterator[tuple[str, Span]]:
    begin, end, head, hunk = words
    whole = re.fullmatch(f"{begin}(.*){end}", text, re.DOTALL)
    _require(bool(whole) or not text, "not enclosed")
    rest = whole[1] if whole else ""
    path, floor = "", 0
    while rest:
        opened = re.match(head, rest)
        if opened:
            path, floor, rest = opened[1], 0, rest[opened.end() :]
        _require(path in files, "path")
        started = re.match(hunk, rest)
        _require(started is not None, "hunk")
        assert started is not None
        anchor = started[0][3:-1] if started[0] not in ("@@\n", "@@ @@\n") else None
        body = re.match(r"(?:[-+ ].*\n)+", rest[started.end() :])
        _require(body is not None, "no lines")
        assert body is not None
        rest = rest[started.end() + body.end() :]
        lines = re.findall(r".*\n", body[0])
        quoted = "".join(line[1:] for line in lines if line[0] != "+")
        new = "".join(line[1:] for line in lines if line[0] != "-")
        span = _place(files[path], quoted, new)
        if words is _PATCH and span[1] == len(files[path]) and new and not span[2].endswith("\n"):
            span = span[0], span[1], span[2] + "\n"
        _require(span[0] >= floor, "out of order")
        if anchor is not None:
            first = (files[path] + "\n").find(anchor + "\n", floor)
            while first > 0 and files[path][first - 1] != "\n":
                first = (files[path] + "\n").find(anchor + "\n", first + 1)
            _require(0 <= first < span[0], "anchor")
        floor = span[1]
        yield path, span


def _whole(text: str, files: dict[str, str], fence: str) -> Iterator[tuple[str, Span]]:
    lines = text.split("\n")
    _require(lines.pop() == "", "ends inside a line")
    at = 0
    while at < len(lines):
        path = lines[at]
        _require(path in files and lines[at + 1 : at + 2] == [fence] and fence in lines[at + 2 :], "head or end")
        end = lines.index(fence, at + 2)
        content = "".join(f"{line}\n" for line in lines[at + 2 : end])
        _require(bool(content) or not files[path], "emptied")
        old = files[path]
        yield path, (0, len(old), content if old.endswith("\n") or not old else content.removesuffix("\n"))
        at = end + 1


def _calls(text: str, files: dict[str, str]) -> Iterator[tuple[str, Span]]:
    _require(text.endswith("\n") or not text, "ends inside a line")
    for line in text.split("\n")[:-1]:
        try:
            call = json.loads(line)
        except ValueError as error:
            raise NotAnEdit("not JSON") from error
        path = call.get("file_path")
        _require(path in files and isinstance(call.get("new_string"), str), "keys")
        content = files[path]
        if "insert_line" in call:
            starts = [0, *(match.end() for match in re.finditer("\n", content))]
            number = call["insert_line"]
            _require(set(call) == {"file_path", "insert_line", "new_string"} and 0 <= number < len(starts), "line")
            _require(call["new_string"].endswith("\n"), "not whole lines")
            yield path, (starts[number], starts[number], call["new_string"])
            continue
        _require(set(call) == {"file_path", "old_string", "new_string"}, "keys")
        quoted, new = call["old_string"], call["new_string"]
        places = [index for index in range(len(content)) if content.startswith(quoted, index)] if quoted else []
        _require(len(places) == 1, f"there {len(places)} times")
        start, end = places[0], places[0] + len(quoted)
        _require(start == 0 or content[start - 1] == "\n", "begins inside a line")
        _require(end == len(content) or (quoted[-1] == "\n" and (not new or new[-1] == "\n")), "ends inside a line")
        yield path, (start, end, new)
