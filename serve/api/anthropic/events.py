"""From the pieces of an answer to the content blocks and events of a message. Runs nothing, sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
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

Event = dict[str, Any]
Block = dict[str, Any]

UNPARSED = "unparsed_arguments"
"""The one key of a whole answer's tool input that is no JSON object; its value is what the model said."""


class Narrator:
    """Tells one message as events; ``message`` is at any time its state so far.

    Args:
        id: the message's.
        model: the served model's name.
        prompt_tokens: for the first event, which comes before the engine has counted.
        seal: makes the signature of a thinking block; None: thinking is not shown at all.
        omit: thinking blocks carry their signature alone.
        window: the answer is bounded by the context window, not by max_tokens.
    """

    def __init__(
        self,
        id: str,
        model: str,
        prompt_tokens: int,
        *,
        seal: Callable[[str], str] | None = None,
        omit: bool = False,
        window: bool = False,
    ) -> None:
        self.message: dict[str, Any] = {
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(prompt_tokens, 0, 0),
        }
        self._seal = seal
        self._omit = omit
        self._window = window
        self._open: Block | None = None
        self._texts: list[str] = []
        self._space = ""

    def begin(self) -> list[Event]:
        """The first event."""
        return [{"type": "message_start", "message": {**self.message, "content": []}}]

    def take(self, piece: Piece) -> list[Event]:
        """What one piece adds; after a Finish the message is complete."""
        if isinstance(piece, TextPiece | RefusalPiece):
            return self._text(piece.text)
        if isinstance(piece, ReasoningPiece):
            return self._think(piece.text)
        if isinstance(piece, CallStart):
            call = {
                "type": "tool_use",
                "id": f"toolu_{piece.id.removeprefix('call_')}",
                "name": piece.name,
                "input": {},
            }
            return self._start(call)
        if isinstance(piece, CallArguments):
            return self._arguments(piece.text)
        if isinstance(piece, CallEnd | LogprobsPiece):
            return []  # a call's block is closed by what follows; log probabilities are unknown to this protocol
        return self._finish(piece)

    def _text(self, text: str) -> list[Event]:
        opened: list[Event] = []
        if self._open is None or self._open["type"] != "text":
            # White space alone, as models write it around reasoning and calls, is no block.
            self._space += text
            if not self._space.strip():
                return []
            text, self._space = self._space, ""
            opened = self._start({"type": "text", "text": ""})
        return [*opened, *self._delta({"type": "text_delta", "text": text}, text)]

    def _think(self, text: str) -> list[Event]:
        if self._seal is None:
            return []
        opened: list[Event] = []
        if self._open is None or self._open["type"] != "thinking":
            opened = self._start({"type": "thinking", "thinking": "", "signature": ""})
        if self._omit:
            self._texts.append(text)
            return opened
        return [*opened, *self._delta({"type": "thinking_delta", "thinking": text}, text)]

    def _arguments(self, text: str) -> list[Event]:
        # Anthropic's own client cannot read JSON that begins with white space alone.
        text = text if self._texts else text.lstrip()
        return self._delta({"type": "input_json_delta", "partial_json": text}, text) if text else []

    def _finish(self, piece: Finish) -> list[Event]:
        events: list[Event] = []
        if self._open is None and not self.message["content"] and self._space:
            text, self._space = self._space, ""
            events = [
                *self._start({"type": "text", "text": ""}),
                *self._delta({"type": "text_delta", "text": text}, text),
            ]
        events += self._close()
        usage = piece.usage
        self.message["usage"] = usage_of(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
        self.message["usage"]["output_tokens_details"] = {"thinking_tokens": piece.reasoning_tokens}
        self.message |= self._ending(piece)
        more = piece.extensions()
        self.message |= more
        delta = {key: self.message[key] for key in ("stop_reason", "stop_sequence")}
        told = {"type": "message_delta", "delta": delta, "usage": self.message["usage"], **more}
        return [*events, told, {"type": "message_stop"}]

    def _ending(self, piece: Finish) -> dict[str, Any]:
        if piece.reason == "length":
            return {"stop_reason": "model_context_window_exceeded" if self._window else "max_tokens"}
        if piece.reason == "content_filter":
            return {"stop_reason": "refusal"}
        if piece.reason == "tool_calls":
            return {"stop_reason": "tool_use"}
        if isinstance(piece.stop, str):
            return {"stop_reason": "stop_sequence", "stop_sequence": piece.stop}
        return {"stop_reason": "end_turn"}

    def _start(self, block: Block) -> list[Event]:
        closed = self._close()
        self._open, self._texts, self._space = block, [], ""
        return [*closed, {"type": "content_block_start", "index": self._index, "content_block": dict(block)}]

    def _delta(self, delta: dict[str, Any], text: str) -> list[Event]:
        self._texts.append(text)
        return [{"type": "content_block_delta", "index": self._index, "delta": delta}]

    def _close(self) -> list[Event]:
        block = self._open
        if block is None:
            return []
        text = "".join(self._texts)
        events: list[Event] = []
        if block["type"] == "text":
            block["text"] = text
        elif block["type"] == "tool_use":
            block["input"] = parsed_input(text)
        elif self._seal is not None:
            block["thinking"] = "" if self._omit else text
            block["signature"] = self._seal(text)
            delta = {"type": "signature_delta", "signature": block["signature"]}
            events.append({"type": "content_block_delta", "index": self._index, "delta": delta})
        events.append({"type": "content_block_stop", "index": self._index})
        self.message["content"].append(block)
        self._open = None
        return events

    @property
    def _index(self) -> int:
        return len(self.message["content"])


def parsed_input(text: str) -> dict[str, Any]:
    """A call's arguments as the object that this protocol wants."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {UNPARSED: text}
    return value if isinstance(value, dict) else {UNPARSED: text}


def usage_of(prompt_tokens: int, cached_tokens: int, output_tokens: int) -> dict[str, Any]:
    """Token counts as this protocol reports them: what came from the prefix cache is not counted as input."""
    return {
        "input_tokens": prompt_tokens - cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached_tokens,
        "output_tokens": output_tokens,
    }
