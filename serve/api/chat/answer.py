"""Pieces of an answer as Chat Completions writes them: deltas of a stream, and the message that they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dovetail.serve.api.conversation.conversation import ToolKind
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
from dovetail.serve.api.http.failures import FAILED
from dovetail.serve.api.logprobs import chat_logprobs
from dovetail.serve.api.served import TextCodec
from dovetail.serve.types import TokenLogprob, Usage

_BODY = {"function": "arguments", "custom": "input"}


@dataclass
class Call:
    """One call so far."""

    id: str
    name: str
    kind: ToolKind
    parts: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """All of its arguments."""
        return "".join(self.parts)

    def wire(self, arguments: str) -> dict[str, Any]:
        """The call as a message holds it."""
        return {"id": self.id, "type": self.kind, self.kind: {"name": self.name, _BODY[self.kind]: arguments}}


class Choice:
    """One of a request's answers.

    Args:
        index: which of them.
        codec: spells tokens, for log probabilities; None if none were asked for.
        legacy: calls are written as ``function_call``, as for requests with ``functions``.
    """

    def __init__(self, index: int, codec: TextCodec | None, *, legacy: bool) -> None:
        self._index = index
        self._codec = codec
        self._legacy = legacy
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[Call] = []
        self._logprobs: list[TokenLogprob] = []
        self._untold: tuple[TokenLogprob, ...] = ()
        self._finish: str | None = None
        self._refusal: str | None = None
        self._extensions: dict[str, Any] = {}
        self.usage = Usage()
        self.reasoning_tokens = 0

    @property
    def finished(self) -> bool:
        """Whether its last piece has come."""
        return self._finish is not None

    def take(self, piece: Piece) -> list[dict[str, Any]]:
        """Add a piece; what the stream says of it."""
        if isinstance(piece, LogprobsPiece):
            told = self._deltas_of_logprobs()
            self._logprobs += piece.entries
            self._untold = piece.entries
            return told
        if isinstance(piece, Finish):
            return self._finished(piece)
        delta = self._delta(piece)
        return [self._chunk(delta)] if delta is not None else []

    def opening(self) -> dict[str, Any]:
        """The first chunk of the stream."""
        return {
            "index": self._index,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }

    def whole(self) -> dict[str, Any]:
        """The finished choice."""
        text = "".join(self._text)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": self._refusal}
        if self._refusal is not None:
            message["content"] = text or None
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["content"] = text or None
            if self._legacy:
                call = self._calls[0]
                message["function_call"] = {"name": call.name, "arguments": call.arguments}
            else:
                message["tool_calls"] = [call.wire(call.arguments) for call in self._calls]
        logprobs = chat_logprobs(self._codec, self._logprobs) if self._codec is not None else None
        head = {"index": self._index, "message": message, "logprobs": logprobs, "finish_reason": self._finish}
        return {**head, **self._extensions}

    def _delta(self, piece: Piece) -> dict[str, Any] | None:
        if isinstance(piece, TextPiece):
            self._text.append(piece.text)
            return {"content": piece.text}
        if isinstance(piece, RefusalPiece):
            self._refusal = piece.text
            return {"refusal": piece.text}
        if isinstance(piece, ReasoningPiece):
            self._reasoning.append(piece.text)
            return {"reasoning_content": piece.text}
        if isinstance(piece, CallStart):
            call = Call(piece.id, piece.name, piece.kind)
            self._calls.append(call)
            if self._legacy:
                return {"function_call": {"name": piece.name, "arguments": ""}} if piece.index == 0 else None
            return {"tool_calls": [{"index": piece.index, **call.wire("")}]}
        if isinstance(piece, CallArguments):
            call = self._calls[piece.index]
            call.parts.append(piece.text)
            if self._legacy:
                return {"function_call": {"arguments": piece.text}} if piece.index == 0 else None
            return {"tool_calls": [{"index": piece.index, call.kind: {_BODY[call.kind]: piece.text}}]}
        assert isinstance(piece, CallEnd)
        return None

    def _finished(self, piece: Finish) -> list[dict[str, Any]]:
        self.usage = piece.usage
        self._extensions = piece.extensions()
        self.reasoning_tokens = piece.reasoning_tokens
        self._finish = "function_call" if piece.reason == "tool_calls" and self._legacy else piece.reason
        return [*self._deltas_of_logprobs(), {**self._chunk({}, self._finish), **self._extensions}]

    def _deltas_of_logprobs(self) -> list[dict[str, Any]]:
        """Log probabilities of tokens that gave no text yet."""
        return [self._chunk({"content": ""})] if self._untold else []

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        logprobs = chat_logprobs(self._codec, self._untold) if self._codec is not None and self._untold else None
        self._untold = ()
        return {"index": self._index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def failed_choice(index: int) -> dict[str, Any]:
    """The last chunk of a choice that a failure has ended."""
    return {"index": index, "delta": {}, "logprobs": None, "finish_reason": FAILED}
