"""Drafters: cheap guesses at the next tokens, verified by the model in the step that would have computed one token.

A draft is a point mass, so sampling at each position from the masked distribution and going on while the sample equals
the draft is exact at any temperature; no rejection formula is needed. How *long* a draft may be is pace.py's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.serve.constrain.base import Constraint, Draft
from dovetail.serve.engine.native.followers import Followers
from dovetail.serve.engine.native.history import RUN, History
from dovetail.serve.engine.native.usual import Usual
from dovetail.serve.pointer import Pointer, Trail

_NOTHING = Draft((), evidence=0)
_PLACES = 64
_AGREED = 24
_LENGTHS = 8
_WEAK = 1


class Drafter(Protocol):
    """Proposes the tokens after those that it has observed."""

    @property
    def followers(self) -> Followers:
        """What else may come, and how likely."""
        ...

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

    def __init__(self, prompt: Sequence[int], usual: Usual | None = None) -> None:
        self._history = History(prompt, usual.kinds if usual is not None else None)
        self.followers = Followers(self._history, usual)

    def propose(self, limit: int) -> Draft:
        """What followed the place that agrees best, if there is any."""
        tokens = self._history.tokens
        if limit < 1 or not tokens:
            return _NOTHING
        place, agreed = self._best(self._history.behind(tuple(tokens[-RUN:])))
        if agreed == 0:
            place, agreed = self._best(self._history.behind(tokens[-1]))
        if agreed == 0:
            return _NOTHING
        return Draft(tokens[place : place + min(limit, _LENGTHS * agreed)], evidence=agreed)

    def _best(self, places: Sequence[int]) -> tuple[int, int]:
        """The place that agrees furthest back with the end of the text, the latest of equals; and how far."""
        tokens, size = self._history.tokens, len(self._history.tokens)
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
        self._history.append(tokens)

    def rewind(self, keep: int) -> None:
        """Take tokens out of the index again."""
        self._history.rewind(keep)


class PredictionDrafter:
    """Follows the output that the client predicted, finding its place again after every difference; else the suffix."""

    def __init__(self, prompt: Sequence[int], prediction: Sequence[int], usual: Usual | None = None) -> None:
        self._trail = Trail(prediction)
        self._pointers = [Pointer()]
        self._suffix = SuffixDrafter(prompt, usual)
        self.followers = self._suffix.followers

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

    def __init__(self, state: Constraint, prompt: Sequence[int], usual: Usual | None = None) -> None:
        self.state = state
        self._suffix = SuffixDrafter(prompt, usual)
        self.followers = self._suffix.followers

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
