"""What the zones of an answer have in common, whatever its format. A zone is an immutable state of the byte machine that an
answer drives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dovetail.serve.constrain.base import Draft, Int32Array, Pending
from dovetail.serve.constrain.copy.prepared import PreparedFile
from dovetail.serve.constrain.copy.quotation import Interval
from dovetail.serve.constrain.syntax.gates import Answer
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.ledger import Ledger

NOTHING = Draft(())


class Step(NamedTuple):
    """One token on its way through the zones.

    ``tokens``: output tokens up to and with this one. ``sampled``: the model asked for it (a refusal is then counted);
    not so when a draft is tried out. ``hopes``: takes the answers that a draft did not wait for; None: it is no draft.
    """

    tokens: int
    sampled: bool
    hopes: list[Answer] | None = None

    def trusts(self, answer: Answer) -> bool:
        """What a gate answers. A draft goes on as the recogniser expects, and leaves it to the check of the token.

        Raises:
            Pending: it has not answered yet.
        """
        if answer.ready:
            return answer.holds
        if self.hopes is None:
            raise Pending(answer)
        if answer.expected:
            self.hopes.append(answer)
        return bool(answer.expected)


class FirstLine(NamedTuple):
    """The first line that an edit quotes: what decides its place.

    ``begun``: some of it has been read; ``done``: all of it; ``starts``: where in the raw file it may begin, if they are few.
    """

    begun: bool
    done: bool
    starts: frozenset[int]

    @classmethod
    def of(cls, prepared: PreparedFile, at: Interval, starts: Iterable[int]) -> FirstLine:
        """From a quotation so far, and the line starts of ``prepared`` that it may begin at."""
        begin = prepared.order[at.low]
        done = at.depth > 0 and prepared.line_end(begin) <= begin + at.depth
        return cls(at.depth > 0, done, frozenset(prepared.to_raw(start) for start in starts))


class Zone(ABC):
    """A place in the answer format.

    ``begin``: the number of output tokens that stand, whatever becomes of the edit being written. ``ledger``: what the
    output has done before that edit.
    """

    __slots__ = ("begin", "ledger")

    def __init__(self, ledger: Ledger, begin: int) -> None:
        self.ledger = ledger
        self.begin = begin

    @property
    def complete(self) -> bool:
        """Whether the output may end here."""
        return False

    @property
    def stuck(self) -> bool:
        """Whether the zone allows nothing any more, so that the step loop has to retreat."""
        return False

    @abstractmethod
    def feed(self, data: bytes, step: Step) -> Zone | None:
        """The zone after ``data``; None if no answer goes on like that."""

    def mask(self) -> Int32Array:
        """A bit mask that holds at least every token that ``feed`` accepts; shared, not to be written into."""
        vocabulary = self.ledger.plan.vocabulary
        found: set[int] = set()
        _explore(self, vocabulary, b"", found)
        return vocabulary.pack(found)

    def branches(self) -> Sequence[bytes] | None:
        """Texts one of which comes next, to be followed further by ``feed``; None: too many to name."""
        return None

    def endings(self) -> Sequence[bytes]:
        """Texts that may come next and are not to be followed further: what is behind them is dear to find out."""
        return ()

    def guess(self, limit: int) -> Draft:
        """Tokens likely to come next, not yet checked."""
        return NOTHING

    def passes(self, token: int) -> bool:
        """Quick and exact where True: whether ``token`` may come next."""
        return False

    def drafts(self, spelling: bytes) -> bool:
        """Whether a draft may try a token of this spelling: not if that asks a dear gate ahead of the model."""
        return True

    def followed(self, token: int, before: Zone) -> Zone:
        """With the draft's pointer moved on by the token that led here from ``before``."""
        return self

    def landed(self, count: int) -> Zone:
        """What the output goes on with, now that ``count`` tokens led here."""
        return self

    def witness(self) -> tuple[int, Zone] | None:
        """Where inside the edit being written it could have ended: the tokens to keep, and a zone that only ends it."""
        return None

    def first_line(self) -> FirstLine | None:
        """The first line quoted by the edit being written; None outside edits, and where none is quoted."""
        return None

    def given_up(self) -> tuple[int | None, frozenset[int]]:
        """The target, and the line starts in it, at which no edit begins any more when this one is dropped."""
        return None, frozenset()


def _explore(zone: Zone, vocabulary: Vocabulary, prefix: bytes, found: set[int]) -> None:
    """Add the tokens that go on from ``zone`` with ``prefix`` already spelled."""
    table = vocabulary.prefixes
    for ending in zone.endings():
        found.update(tokens_through(vocabulary, prefix, ending))
    branches = zone.branches()
    if branches is None:
        found.update(vocabulary.under(prefix))
        return
    for branch in branches:
        for length in range(1, len(branch) + 1):
            tokens = table.get(prefix + branch[:length])
            if tokens is None:
                break
            found.update(tokens)
        else:
            if further := vocabulary.under(prefix + branch):
                try:
                    following = zone.feed(branch, Step(0, False))
                except Pending:
                    found.update(further)  # Which of them, the check of each will say.
                    continue
                if following is not None:
                    _explore(following, vocabulary, prefix + branch, found)


def tokens_through(vocabulary: Vocabulary, prefix: bytes, text: bytes) -> list[int]:
    """Tokens that spell ``prefix`` and then a beginning of ``text``, or overrun it."""
    found: list[int] = []
    for length in range(1, len(text) + 1):
        tokens = vocabulary.prefixes.get(prefix + text[:length])
        if tokens is None:
            return found
        found.extend(tokens)
    return found + vocabulary.under(prefix + text)
