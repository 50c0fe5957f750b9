"""Drafters: cheap guesses at the next tokens, verified by the model in the step that would have computed one token.

A draft is a point mass, so sampling at each position from the masked distribution and going on while the sample equals
the draft is exact at any temperature; no rejection formula is needed. How *long* a draft may be is pace.py's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.serve.constrain.base import Constraint, Draft
from dovetail.serve.pointer import Pointer, Trail

_NOTHING = Draft((), evidence=0)
_RUN = 3
_PLACES = 64
_AGREED = 24
_LENGTHS = 8
_WEAK = 1


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
    """Continues as the text continued where its end occurred before (prompt lookup; Saxena, 2023).

    Of the latest earlier places with the same last token or the same last three, the one that agrees furthest back; the
    draft is at most eight times as long as that agreement.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens = list(prompt)
        self._prompt_length = len(self._tokens)
        self._ends: dict[int, list[int]] = {}
        self._run_ends: dict[tuple[int, ...], list[int]] = {}
        for end in range(1, len(self._tokens) + 1):
            self._note(end)

    def propose(self, limit: int) -> Draft:
        """What followed the place that agrees best, if there is any."""
        if limit < 1 or not self._tokens:
            return _NOTHING
        known = self._run_ends.get(tuple(self._tokens[-_RUN:])) or ()
        place, agreed = self._best(known)
        if agreed == 0:
            place, agreed = self._best(self._ends[self._tokens[-1]])
        if agreed == 0:
            return _NOTHING
        return Draft(self._tokens[place : place + min(limit, _LENGTHS * agreed)], evidence=agreed)

    def _best(self, places: Sequence[int]) -> tuple[int, int]:
        """The place that agrees furthest back with the end of the text, the latest of equals; and how far."""
        tokens, size = self._tokens, len(self._tokens)
        best, most = 0, 0
        for place in places[-_PLACES:]:
            agreed = 0
            if place < size:
                reach = min(place, _AGREED)
                while agreed < reach and tokens[place - 1 - agreed] == tokens[size - 1 - agreed]:
                    agreed += 1
            if agreed >= most:
                best, most = place, agreed
        return best, most

    def observe(self, tokens: Sequence[int]) -> None:
        """Index the new tokens too."""
        for token in tokens:
            self._tokens.append(token)
            self._note(len(self._tokens))

    def rewind(self, keep: int) -> None:
        """Take tokens out of the index again."""
        while len(self._tokens) > self._prompt_length + keep:
            if len(self._tokens) >= _RUN:
                self._run_ends[tuple(self._tokens[-_RUN:])].pop()
            self._ends[self._tokens.pop()].pop()

    def _note(self, end: int) -> None:
        self._ends.setdefault(self._tokens[end - 1], []).append(end)
        if end >= _RUN:
            self._run_ends.setdefault(tuple(self._tokens[end - _RUN : end]), []).append(end)


class PredictionDrafter:
    """Follows the output that the client predicted, finding its place again after every difference; else the suffix."""

    def __init__(self, prompt: Sequence[int], prediction: Sequence[int]) -> None:
        self._trail = Trail(prediction)
        self._pointers = [Pointer()]
        self._suffix = SuffixDrafter(prompt)

    def propose(self, limit: int) -> Draft:
        """The prediction from the pointer on; what the suffix suggests where the pointer is lost."""
        pointer = self._pointers[-1]
        tokens = self._trail.propose(pointer, limit) if limit > 0 else []
        return _stronger(Draft(tokens, predicted=True, evidence=pointer.evidence), self._suffix.propose(limit))

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
    """Asks the constraint, which knows the file that is being quoted; in new text the suffix, as far as it is allowed.

    ``state`` is kept current by the step loop.
    """

    def __init__(self, state: Constraint, prompt: Sequence[int]) -> None:
        self.state = state
        self._suffix = SuffixDrafter(prompt)

    def propose(self, limit: int) -> Draft:
        """What the constraint's state suggests, unless the suffix knows better."""
        own = self.state.draft(limit)
        if own.tokens and (own.forced or own.evidence > _WEAK):
            return own
        better = _stronger(own, self._suffix.propose(limit))
        if better is own:
            return own
        allowed = self.state.admits(better.tokens)
        return better._replace(tokens=better.tokens[:allowed]) if allowed else own

    def observe(self, tokens: Sequence[int]) -> None:
        """The state knows; the suffix is told."""
        self._suffix.observe(tokens)

    def rewind(self, keep: int) -> None:
        """The state knows; the suffix is told."""
        self._suffix.rewind(keep)


def _stronger(own: Draft, suffix: Draft) -> Draft:
    """``own``, unless it is a mere guess at a place and the suffix has more to go by."""
    if own.tokens and (own.evidence > _WEAK or own.evidence >= suffix.evidence):
        return own
    return suffix if suffix.tokens else own
