"""Blocks out of a growing text: typed events as pieces arrive, and as pieces are taken back.

Deltas add up to a block's exact SEARCH and REPLACE text; what may still turn out to be a marker line, or the line feed
that a file without a final one lacks, is held back. Knows no HTTP and no constraint.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dovetail.serve.edit.block import Block, EditError, Place, line_span, locate
from dovetail.serve.edit.formats.blocks.markers import closing_run
from dovetail.serve.types import Markers, SourceFile


class EditStarted(msgspec.Struct, frozen=True, tag="edit_started"):
    """Block ``index`` begins, on the file ``path``."""

    index: int
    path: str


class SearchDelta(msgspec.Struct, frozen=True, tag="search_delta"):
    """More of the text that block ``index`` replaces."""

    index: int
    text: str


class ReplaceDelta(msgspec.Struct, frozen=True, tag="replace_delta"):
    """More of the text that block ``index`` puts there."""

    index: int
    text: str


class EditDone(msgspec.Struct, frozen=True, tag="edit_done"):
    """Block ``index`` is complete."""

    index: int
    block: Block


class RolledBack(msgspec.Struct, frozen=True, tag="rolled_back"):
    """Keep the first ``edits`` complete blocks.

    Of block ``edits``, if ``open``, keep the first ``search_chars`` and ``replace_chars`` characters; if not, forget it.
    """

    edits: int
    open: bool
    search_chars: int = 0
    replace_chars: int = 0


BlockEvent = EditStarted | SearchDelta | ReplaceDelta | EditDone | RolledBack


class BlockStream:
    """Reads blocks over ``files`` from text that comes in pieces. ``blocks`` holds those that are complete."""

    def __init__(self, files: Iterable[SourceFile], markers: Markers) -> None:
        self._contents = {file.path: file.content for file in files}
        self._markers = markers
        self._run = closing_run(markers.replace)
        self._reset()

    def _reset(self) -> None:
        self.blocks: list[Block] = []
        self._text = ""
        self._line_begin = 0
        self._sent = 0
        self._zone = "path"
        self._path = ""
        self._begin_body()
        self._search = ""
        self._place = Place(0, 0, False)

    def _begin_body(self) -> None:
        self._body: list[str] = []
        self._pending = ""

    def feed(self, piece: str) -> list[BlockEvent]:
        """The events of the next ``piece`` of text.

        Raises:
            EditError: malformed, unknown_path, not_found, ambiguous or not_lines.
        """
        self._text += piece
        events: list[BlockEvent] = []
        while (stop := self._text.find("\n", self._line_begin)) >= 0:
            self._line(self._text[self._line_begin : stop], events)
            self._line_begin, self._sent = stop + 1, 0
        if self._zone in ("search", "replace") and not self._may_be_marker(self._text[self._line_begin :]):
            self._emit(self._text[self._line_begin + self._sent :], events)
            self._sent = len(self._text) - self._line_begin
        return events

    def rollback(self, keep_chars: int) -> list[BlockEvent]:
        """The events of forgetting all but the first ``keep_chars`` characters."""
        kept = self._text[:keep_chars]
        self._reset()
        self.feed(kept)
        is_open = self._zone in ("search", "replace")
        sent = sum(map(len, self._body))
        if self._zone == "replace":
            return [RolledBack(len(self.blocks), is_open, len(self._search), sent)]
        return [RolledBack(len(self.blocks), is_open, sent)]

    def finish(self) -> list[Block]:
        """All blocks.

        Raises:
            EditError: the text ends inside a block.
        """
        if self._zone != "path" or self._line_begin < len(self._text):
            raise self._malformed("the text ends inside the block.")
        return self.blocks

    def _line(self, line: str, events: list[BlockEvent]) -> None:
        if self._zone == "path":
            if line not in self._contents:
                raise EditError(len(self.blocks), line, "unknown_path", f"{line!r} is none of the given files.")
            self._zone, self._path = "marker", line
        elif self._zone == "marker":
            if line != self._markers.search:
                raise self._malformed(f"its second line must be {self._markers.search!r}.")
            self._zone = "search"
            self._begin_body()
            events.append(EditStarted(len(self.blocks), self._path))
        elif self._zone == "search" and line == self._markers.divider:
            self._end_search(events)
        elif self._zone == "replace" and line.startswith(self._run):
            if line != self._markers.replace:
                raise self._malformed(f"a line of REPLACE begins with {self._run!r}.")
            self._end_replace(events)
        else:
            self._emit(line[self._sent :], events)
            self._pending = "\n"

    def _end_search(self, events: list[BlockEvent]) -> None:
        lines = "".join(self._body) + self._pending
        self._place = locate(len(self.blocks), self._path, self._contents[self._path], lines)
        self._search = self._flush(events)
        self._zone = "replace"
        self._begin_body()

    def _end_replace(self, events: list[BlockEvent]) -> None:
        replace = self._flush(events)
        first, last = line_span(self._contents[self._path], self._place.start, self._place.end)
        block = Block(path=self._path, search=self._search, replace=replace, start_line=first, end_line=last)
        events.append(EditDone(len(self.blocks), block))
        self.blocks.append(block)
        self._zone = "path"

    def _flush(self, events: list[BlockEvent]) -> str:
        """Let go of the last line feed, if the file has it; the whole body."""
        if self._place.imagined:
            self._pending = ""
        elif self._pending:
            self._emit("", events)
        return "".join(self._body)

    def _emit(self, text: str, events: list[BlockEvent]) -> None:
        text, self._pending = self._pending + text, ""
        if not text:
            return
        self._body.append(text)
        make = SearchDelta if self._zone == "search" else ReplaceDelta
        events.append(make(len(self.blocks), text))

    def _may_be_marker(self, line: str) -> bool:
        if self._zone == "search":
            return self._markers.divider.startswith(line)
        return self._run.startswith(line) or line.startswith(self._run)

    def _malformed(self, detail: str) -> EditError:
        return EditError(len(self.blocks), self._path or "?", "malformed", detail)
