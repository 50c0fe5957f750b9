"""What an answer is made of, piece by piece, for every protocol to render. Knows no wire format and no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dovetail.serve.api.conversation.conversation import ToolKind
from dovetail.serve.types import ConstraintReport, TokenLogprob, Usage

AnswerEnd = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why an answer ended; ``tool_calls``: by itself, after at least one call; ``content_filter``: it was declined or ended here."""


@dataclass(frozen=True)
class TextPiece:
    """More of what the model says."""

    text: str


@dataclass(frozen=True)
class RefusalPiece:
    """The whole of what is said instead of an answer."""

    text: str


@dataclass(frozen=True)
class ReasoningPiece:
    """More of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class CallStart:
    """A call begins; calls of one answer count from 0 and never overlap. ``id`` is fresh: ``call_...``."""

    index: int
    id: str
    name: str
    kind: ToolKind


@dataclass(frozen=True)
class CallArguments:
    """More of a call's arguments: JSON text, or the plain input of a custom tool."""

    index: int
    text: str


@dataclass(frozen=True)
class CallEnd:
    """A call is over; every CallStart is followed by its CallEnd, also where the budget cut it off."""

    index: int


@dataclass(frozen=True)
class LogprobsPiece:
    """Log probabilities of the tokens of the pieces that follow; only where they were asked for."""

    entries: tuple[TokenLogprob, ...]


@dataclass(frozen=True)
class Finish:
    """The last piece of every answer. ``stop``: the stop string or token id that ended it, if one did. ``security``: what was
    found in it. ``dovetail``: what only this server says: of the policy, where one holds and an edit tool was called.
    """

    reason: AnswerEnd
    usage: Usage
    stop: str | int | None = None
    reasoning_tokens: int = 0
    constraint: ConstraintReport | None = None
    security: dict[str, Any] | None = None
    dovetail: dict[str, Any] | None = None

    def extensions(self) -> dict[str, Any]:
        """What an answer says beyond its protocol, by field name."""
        said = {"security": self.security, "dovetail": self.dovetail}
        return {name: value for name, value in said.items() if value is not None}


Piece = TextPiece | RefusalPiece | ReasoningPiece | CallStart | CallArguments | CallEnd | LogprobsPiece | Finish
