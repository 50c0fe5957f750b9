"""From the pieces of an answer to the output items and typed events of a response. Runs nothing, sends nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dovetail.serve.api.conversation.pieces import (
    CallArguments,
    CallEnd,
    CallStart,
    Finish,
    LogprobsPiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
)
from dovetail.serve.api.ids import fresh
from dovetail.serve.api.logprobs import chat_logprobs
from dovetail.serve.api.responses.open_items import OpenCall, OpenItem, OpenMessage, OpenReasoning
from dovetail.serve.api.responses.tools import ToolNames
from dovetail.serve.api.served import TextCodec
from dovetail.serve.errors import DovetailError
from dovetail.serve.types import Usage

Event = dict[str, Any]
"""One event as the client reads it: ``type``, ``sequence_number`` and the rest."""


class Narrator:
    """Tells one response as events; ``response`` is at any time its state so far.

    Args:
        response: the response object as it was created: everything but status, output, error and usage.
        names: how the names of called tools are restored.
        seal: makes a reasoning item's ``encrypted_content``; None: the client did not ask for it.
        summarise: the client reads reasoning in ``summary``, not in ``content``.
        codec: spells the tokens of log probabilities.
    """

    def __init__(
        self,
        response: Mapping[str, Any],
        names: ToolNames,
        codec: TextCodec,
        *,
        seal: Callable[[str], str] | None = None,
        summarise: bool = False,
    ) -> None:
        self.response: dict[str, Any] = {**response, "status": "in_progress", "output": [], "error": None}
        self._names = names
        self._codec = codec
        self._seal = seal
        self._summarise = summarise
        self._sequence = 0
        self._open: OpenItem | None = None
        self._space = ""
        self._refused = False
        self._logprobs: list[dict[str, Any]] = []

    def begin(self, *, queued: bool = False) -> list[Event]:
        """The first events."""
        events = []
        if queued:
            self.response["status"] = "queued"
        events.append(self._lifecycle("response.created"))
        if queued:
            events.append(self._lifecycle("response.queued"))
            self.response["status"] = "in_progress"
        return [*events, self._lifecycle("response.in_progress")]

    def take(self, piece: Piece) -> list[Event]:
        """What one piece adds; after a Finish the response is complete."""
        if isinstance(piece, TextPiece):
            return self._text(piece.text)
        if isinstance(piece, LogprobsPiece):
            self._logprobs += chat_logprobs(self._codec, piece.entries)["content"]
            return []
        self._logprobs = []
        if isinstance(piece, RefusalPiece):
            self._refused = True
            return [*self._start(OpenMessage(fresh("msg"), refusal=True)), *self._tell(self._item.add(piece.text))]
        if isinstance(piece, ReasoningPiece):
            opened = self._require(OpenReasoning, lambda: OpenReasoning(fresh("rs"), self._summarise, self._seal))
            return [*opened, *self._tell(self._item.add(piece.text))]
        if isinstance(piece, CallStart):
            namespace, name = self._names.restore(piece.name)
            prefix = "ctc" if piece.kind == "custom" else "fc"
            return self._start(OpenCall(fresh(prefix), piece.id, name, namespace, piece.kind))
        if isinstance(piece, CallArguments):
            return self._tell(self._item.add(piece.text))
        if isinstance(piece, CallEnd):
            return []  # closed by what follows, which knows whether the budget cut it off
        return self._finish(piece)

    def compacted(self, sealed: str, usage: Usage, reasoning_tokens: int) -> list[Event]:
        """Instead of pieces: the one item that a compaction consists of, and the end."""
        item = {"id": fresh("cmp"), "type": "compaction", "encrypted_content": sealed}
        added = self._event("response.output_item.added", output_index=0, item=item)
        self.response["output"].append(item)
        done = self._event("response.output_item.done", output_index=0, item=item)
        return [added, done, self._complete(usage, reasoning_tokens)]

    def fail(self, error: DovetailError) -> list[Event]:
        """The last events of a response that failed: as its own state, and as an error for clients that look for one."""
        code = _FAILURE_CODES.get(error.status, "server_error")
        self.response |= {"status": "failed", "error": {"code": code, "message": error.message}}
        failed = self._lifecycle("response.failed")
        told = {"code": code, "message": error.message, "param": error.param}
        kind = "rate_limit_error" if error.status == 429 else "server_error"
        return [failed, self._event("error", **told, error={"type": kind, **told})]

    def cancel(self) -> dict[str, Any]:
        """The response as it stands when it is cancelled."""
        self.response["status"] = "cancelled"
        return self.response

    def _text(self, text: str) -> list[Event]:
        if not isinstance(self._open, OpenMessage):
            # White space alone, as models write it around reasoning and calls, is no message.
            self._space += text
            if not self._space.strip():
                return []
            text, self._space = self._space, ""
            opened = self._require(OpenMessage, lambda: OpenMessage(fresh("msg")))
        else:
            opened = []
        entries, self._logprobs = self._logprobs, []
        return [*opened, *self._tell(self._item.add(text, entries))]

    def _finish(self, piece: Finish) -> list[Event]:
        events: list[Event] = []
        if self._open is None and not self.response["output"]:
            events += self._start(OpenMessage(fresh("msg")))
            if self._space:
                events += self._tell(self._item.add(self._space, self._logprobs))
        self.response |= piece.extensions()
        cut = piece.reason == "length" or (piece.reason == "content_filter" and not self._refused)
        events += self._close("incomplete" if cut else "completed")
        if not cut:
            return [*events, self._complete(piece.usage, piece.reasoning_tokens)]
        self.response |= {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens" if piece.reason == "length" else "content_filter"},
            "usage": usage_of(piece.usage, piece.reasoning_tokens),
        }
        return [*events, self._lifecycle("response.incomplete")]

    def _complete(self, usage: Usage, reasoning_tokens: int) -> Event:
        self.response |= {
            "status": "completed",
            "completed_at": int(time.time()),
            "usage": usage_of(usage, reasoning_tokens),
        }
        return self._lifecycle("response.completed")

    @property
    def _item(self) -> OpenItem:
        assert self._open is not None, "pieces of a call follow its start"
        return self._open

    def _require(self, kind: type[OpenItem], make: Callable[[], OpenItem]) -> list[Event]:
        return [] if isinstance(self._open, kind) else self._start(make())

    def _start(self, item: OpenItem) -> list[Event]:
        closed = self._close("completed")
        self._space = self._space if isinstance(item, OpenMessage) else ""
        self._open = item
        added = self._event("response.output_item.added", output_index=self._index, item=item.shown("in_progress"))
        return [*closed, added, *self._tell(item.begin())]

    def _close(self, status: str) -> list[Event]:
        item = self._open
        if item is None:
            return []
        events = self._tell(item.end())
        done = item.shown(status)
        events.append(self._event("response.output_item.done", output_index=self._index, item=done))
        self.response["output"].append(done)
        self._open = None
        return events

    @property
    def _index(self) -> int:
        return len(self.response["output"])

    def _tell(self, events: list[tuple[str, dict[str, Any]]]) -> list[Event]:
        place = {"item_id": self._item.id, "output_index": self._index}
        return [self._event(kind, **place, **payload) for kind, payload in events]

    def _lifecycle(self, kind: str) -> Event:
        return self._event(kind, response={**self.response, "output": list(self.response["output"])})

    def _event(self, kind: str, **payload: Any) -> Event:
        event = {"type": kind, "sequence_number": self._sequence, **payload}
        self._sequence += 1
        return event


_FAILURE_CODES = {429: "rate_limit_exceeded", 400: "invalid_prompt"}


def usage_of(usage: Usage, reasoning_tokens: int) -> dict[str, Any]:
    """Token counts as this protocol reports them."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
