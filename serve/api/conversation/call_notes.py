"""Tells a request's trail which tools its answer called. Knows no tool and no wire format."""

from __future__ import annotations

from dovetail.serve.api.conversation.pieces import CallArguments, CallEnd, CallStart, Piece
from dovetail.serve.govern.audit.trail import Trail


class CallNotes:
    """One answer's calls; they never overlap."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._name = ""
        self._arguments: list[str] = []

    def take(self, piece: Piece) -> None:
        """Look at one piece of the answer."""
        if isinstance(piece, CallStart):
            self._name, self._arguments = piece.name, []
        elif isinstance(piece, CallArguments):
            self._arguments.append(piece.text)
        elif isinstance(piece, CallEnd):
            self._trail.call(self._name, "".join(self._arguments))
