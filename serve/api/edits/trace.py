"""How each token of an edit came to be, for answers that ask for it: whole, and while the output grows. Decides nothing."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Sequence
from typing import Any

from dovetail.serve.api.edits.events import Named
from dovetail.serve.api.served import TextCodec
from dovetail.serve.types import Event, Origin, RollbackEvent, TokenLogprob, TokensEvent

Traced = dict[str, Any]
"""``text``, ``origin``, and ``probability`` where the engine tells it: the model's own, before the constraint."""


class Trace:
    """The output token by token; a character of several tokens is shown with the last of them.

    ``tokens`` has one entry for each token of the output so far.
    """

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._ids: list[int] = []
        self._begin()
        self.tokens: list[Traced] = []

    def after(self, event: Event) -> list[Named]:
        """The wire events that one engine event brings."""
        if isinstance(event, TokensEvent) and event.tokens:
            return [("edits.tokens", {"tokens": self._add(event.tokens, event.origins, event.logprobs or ())})]
        if isinstance(event, RollbackEvent):
            del self.tokens[event.keep_tokens :], self._ids[event.keep_tokens :]
            self._begin()
            return [("edits.tokens.rollback", {"keep_tokens": event.keep_tokens})]
        return []

    def _begin(self) -> None:
        """Decode on from the tokens that are left."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in self._ids:
            self._decoder.decode(self._codec.token_bytes(token) or b"")

    def _add(self, ids: Iterable[int], origins: Sequence[Origin], logprobs: Sequence[TokenLogprob]) -> list[Traced]:
        added: list[Traced] = []
        for index, (token, origin) in enumerate(zip(ids, origins, strict=True)):
            text = self._decoder.decode(self._codec.token_bytes(token) or b"")
            told: Traced = {"text": text, "origin": origin}
            if logprobs:
                told["probability"] = math.exp(min(0.0, logprobs[index].logprob))
            added.append(told)
            self._ids.append(token)
        self.tokens += added
        return added
