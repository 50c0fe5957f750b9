"""Drafters: cheap guesses at the next tokens, verified by the model in the step that would have computed one token.

A draft is a point mass, so sampling at each position from the masked distribution and going on while the sample equals
the draft is exact at any temperature; no rejection formula is needed. How *long* a draft may be is pace.py's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.serve.constrain.base import Constraint, Draft
from dovetail.serve.pointer import Pointer, Trail

_NOTHING = Draft(())


class Drafter(Protocol):
    """Proposes the tokens after those that it has observed."""

    def propose(self, limit: int) -> Draft:
        """At most ``limit`` tokens."""
        ...

    def observe(self, tokens: Sequence[int]) -> None:
        """New output tokens."""
        ...

    def rewind(self, keep: int) -> None:
        """Forget all but the first ``keep`` output tokens."""
        ...


class SuffixDrafter:
    """Continues as the text continued the last time its last few tokens occurred (prompt lookup; Saxena, 2023)."""

    def __init__(self, prompt: Sequence[int], gram: int = 3) -> None:
        self._tokens = list(prompt)
        self._prompt_length = len(self._tokens)
        self._gram = gram
        self._last: dict[tuple[int, ...], list[int]] = {}
        for end in range(gram, len(self._tokens) + 1):
            self._note(end)

    def propose(self, limit: int) -> Draft:
        """What followed the latest earlier occurrence."""
        ends = self._last.get(tuple(self._tokens[-self._gram :]), [])
        earlier = next((end for end in reversed(ends) if end < len(self._tokens)), None)
        if earlier is None or limit < 1:
            return _NOTHING
        return Draft(self._tokens[earlier : earlier + limit])

    def observe(self, tokens: Sequence[int]) -> None:
        """Index the new tokens too."""
        for token in tokens:
            self._tokens.append(token)
            self._note(len(self._tokens))

    def rewind(self, keep: int) -> None:
        """Take tokens out of the index again."""
        while len(self._tokens) > self._prompt_length + keep:
            end = len(self._tokens)
            if end >= self._gram:
                self._last[tuple(self._tokens[end - self._gram : end])].pop()
            self._tokens.pop()

    def _note(self, end: int) -> None:
        if end >= self._gram:
            self._last.setdefault(tuple(self._tokens[end - self._gram : end]), []).append(end)


class PredictionDrafter:
    """Follows the output that the client predicted, finding its place again after every difference; else the suffix."""

    def __init__(self, prompt: Sequence[int], prediction: Sequence[int]) -> None:
        self._trail = Trail(prediction)
        self._pointers = [Pointer()]
        self._suffix = SuffixDrafter(prompt)

    def propose(self, limit: int) -> Draft:
        """The prediction from the pointer on; what the suffix suggests where the pointer is lost."""
        tokens = self._trail.propose(self._pointers[-1], limit) if limit > 0 else []
        return Draft(tokens, predicted=True) if tokens else self._suffix.propose(limit)

    def observe(self, tokens: Sequence[int]) -> None:
        """Move the pointer."""
        for token in tokens:
            self._pointers.append(self._trail.after(self._pointers[-1], token))
        self._suffix.observe(tokens)

    def rewind(self, keep: int) -> None:
        """Back to where the pointer was then."""
        del self._pointers[keep + 1 :]
        self._suffix.rewind(keep)


class ConstraintDrafter:
    """Asks the constraint, which knows the file that is being quoted; ``state`` is kept current by the step loop."""

    def __init__(self, state: Constraint) -> None:
        self.state = state

    def propose(self, limit: int) -> Draft:
        """What the constraint's state suggests."""
        return self.state.draft(limit)

    def observe(self, tokens: Sequence[int]) -> None:
        """The state knows."""

    def rewind(self, keep: int) -> None:
        """The state knows."""
