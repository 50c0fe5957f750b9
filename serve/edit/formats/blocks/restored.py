"""Blocks out of a growing text about files as a model reads them, told as blocks of the files as they are.

Deltas add up to a block's exact text here too. Where a line's end is not known before the block is complete (a file with
more than one kind of line end), the block's text comes in one piece, when it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dovetail.serve.edit.formats.blocks.stream import (
    BlockEvent,
    BlockStream,
    EditDone,
    EditStarted,
    ReplaceDelta,
    RolledBack,
    SearchDelta,
)
from dovetail.serve.edit.view import View, views_of
from dovetail.serve.types import Markers, SourceFile


class RestoredStream:
    """As BlockStream; ``files`` are as they are, the text is about what a model reads of them."""

    def __init__(self, files: Sequence[SourceFile], markers: Markers) -> None:
        self._views = views_of(files)
        self._markers = markers
        self._begin()

    def _begin(self) -> None:
        self._stream = BlockStream([view.file for view in self._views.values()], self._markers)
        self._text = ""
        self._view: View | None = None

    def feed(self, piece: str) -> list[BlockEvent]:
        """The events of the next ``piece`` of text.

        Raises:
            EditError: as BlockStream.
        """
        self._text += piece
        return list(self._told(self._stream.feed(piece)))

    def rollback(self, keep_chars: int) -> list[BlockEvent]:
        """The events of forgetting all but the first ``keep_chars`` characters."""
        kept = self._text[:keep_chars]
        self._begin()
        search = replace = 0
        is_open = False
        for event in self.feed(kept):
            if isinstance(event, EditStarted | EditDone):
                is_open, search, replace = isinstance(event, EditStarted), 0, 0
            elif isinstance(event, SearchDelta):
                search += len(event.text)
            elif isinstance(event, ReplaceDelta):
                replace += len(event.text)
        return [RolledBack(len(self._stream.blocks), is_open, search, replace)]

    def _told(self, events: Iterable[BlockEvent]) -> Iterator[BlockEvent]:
        for event in events:
            if isinstance(event, EditStarted):
                self._view = self._views[event.path]
                yield event
                continue
            view = self._view
            assert view is not None
            assert not isinstance(event, RolledBack)
            if isinstance(event, EditDone):
                block = view.block(event.block)
                if not view.uniform:
                    yield from (SearchDelta(event.index, block.search),) if block.search else ()
                    yield from (ReplaceDelta(event.index, block.replace),) if block.replace else ()
                yield EditDone(event.index, block)
            elif view.uniform:
                yield type(event)(event.index, event.text.replace("\n", view.end))
