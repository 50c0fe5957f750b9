"""Drafters: cheap guesses at the next tokens, verified by the model in the step that would have computed one token.

A draft is a point mass, so sampling at each position from the masked distribution and going on while the sample equals
the draft is exact at any temperature; no rejection formula is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.serve.constrain.base import Constraint, Draft


class Drafter(Protocol):
    """Proposes the tokens after those that it has observed."""

    def propose(self, limit: int) -> Draft:
        """At most ``limit`` tokens."""
        ...

    def observe(self, tokens: Sequence[int], drafted: int, accepted: int) -> None:
        """New output tokens, and how many drafted ones were verified and confirmed in the step that made them."""
        ...

    def rewind(self, keep: int) -> None:
        """Forget all but the first ``keep`` output tokens."""
        ...


class DraftLength:
    """How far ahead to guess: doubles while drafts are confirmed, halves when they are not, and keeps probing."""

    def __init__(self, longest: int = 32) -> None:
        self._longest = longest
        self._length = min(8, longest)
        self._skip = 0

    def limit(self) -> int:
        """Tokens to draft in the coming step; 0 while drafts do not pay."""
        if self._skip:
            self._skip -= 1
            return 0
        return self._length

    def learn(self, drafted: int, accepted: int) -> None:
        """The result of one step's draft."""
        if not drafted:
            return
        if accepted == drafted:
            self._length = min(self._longest, self._length * 2)
        elif accepted * 2 < drafted:
            self._length = max(1, self._length // 2)
            if self._length == 1 and not accepted:
                self._skip = 8


class SuffixDrafter:
    """Continues as the text continued the last time its last few tokens occurred (prompt lookup; Saxena, 2023)."""

    def __init__(self, prompt: Sequence[int], gram: int = 3) -> None:
        self._tokens = list(prompt)
        self._prompt_length = len(self._tokens)
        self._gram = gram
        self._last: dict[tuple[int, ...], list[int]] = {}
        self._length = DraftLength()
        for end in range(gram, len(self._tokens) + 1):
            self._note(end)

    def propose(self, limit: int) -> Draft:
        limit = min(limit, self._length.limit())
        ends = self._last.get(tuple(self._tokens[-self._gram :]), [])
        earlier = next((end for end in reversed(ends) if end < len(self._tokens)), None)
        if earlier is None or limit < 1:
            return Draft(())
        return Draft(self._tokens[earlier : earlier + limit])

    def observe(self, tokens: Sequence[int], drafted: int, accepted: int) -> None:
        self._length.learn(drafted, accepted)
        for token in tokens:
            self._tokens.append(token)
            self._note(len(self._tokens))

    def rewind(self, keep: int) -> None:
        while len(self._tokens) > self._prompt_length + keep:
            end = len(self._tokens)
            if end >= self._gram:
                self._last[tuple(self._tokens[end - self._gram : end])].pop()
            self._tokens.pop()

    def _note(self, end: int) -> None:
        if end >= self._gram:
            self._last.setdefault(tuple(self._tokens[end - self._gram : end]), []).append(end)


class ConstraintDrafter:
    """Asks the constraint, which knows the file that is being quoted; ``state`` is kept current by the step loop."""

    def __init__(self, state: Constraint) -> None:
        self.state = state
        self._length = DraftLength()

    def propose(self, limit: int) -> Draft:
        draft = self.state.draft(limit)
        length = max(draft.forced, self._length.limit())
        return Draft(draft.tokens[:length], draft.forced)

    def observe(self, tokens: Sequence[int], drafted: int, accepted: int) -> None:
        del tokens
        self._length.learn(drafted, accepted)

    def rewind(self, keep: int) -> None:
        del keep
