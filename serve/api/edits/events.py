"""The typed events of a streamed edit: wire names and payloads for what serve/edit reads out of the growing text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.serve.api.edits.report import edit_of, violation
from dovetail.serve.edit.block import EditError
from dovetail.serve.edit.formats.blocks.restored import RestoredStream
from dovetail.serve.edit.formats.blocks.stream import (
    BlockEvent,
    EditDone,
    EditStarted,
    ReplaceDelta,
    SearchDelta,
)
from dovetail.serve.types import Event, Markers, RollbackEvent, SourceFile, TokensEvent

Named = tuple[str, dict[str, Any]]


class EditEvents:
    """Turns engine events into wire events, one request long."""

    def __init__(self, files: Sequence[SourceFile], markers: Markers) -> None:
        self._stream = RestoredStream(files, markers)

    def after(self, event: Event) -> list[Named]:
        """The wire events that one engine event brings."""
        try:
            if isinstance(event, TokensEvent):
                return [_named(each) for each in self._stream.feed(event.text)]
            if isinstance(event, RollbackEvent):
                return [_named(each) for each in self._stream.rollback(event.keep_chars)]
        except EditError as error:
            raise violation(error) from error
        return []


class TextEvents:
    """The wire events of a format that is not taken apart while it grows: its text as it comes."""

    def after(self, event: Event) -> list[Named]:
        """The wire events that one engine event brings."""
        if isinstance(event, TokensEvent) and event.text:
            return [("edits.text.delta", {"delta": event.text})]
        if isinstance(event, RollbackEvent):
            return [("edits.text.rollback", {"keep_chars": event.keep_chars})]
        return []


def _named(event: BlockEvent) -> Named:
    match event:
        case EditStarted(index, path):
            return "edit.started", {"index": index, "path": path}
        case SearchDelta(index, text):
            return "edit.search.delta", {"index": index, "delta": text}
        case ReplaceDelta(index, text):
            return "edit.replace.delta", {"index": index, "delta": text}
        case EditDone(index, block):
            return "edit.done", {"index": index, "edit": edit_of(block)}
    return "edit.rollback", {
        "keep_edits": event.edits,
        "open": event.open,
        "keep_search_chars": event.search_chars,
        "keep_replace_chars": event.replace_chars,
    }
