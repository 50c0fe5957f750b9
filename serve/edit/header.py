"""Between blocks, and in a block's head: the path of an offered file and the search marker. Knows nothing of contents."""

from __future__ import annotations

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.quoting import Quoting
from dovetail.serve.edit.zone import NOTHING, Step, Zone


class Header:
    """``choices``: the targets whose head the ``depth`` bytes so far begin."""

    __slots__ = ("begin", "choices", "depth", "ledger")

    def __init__(self, ledger: Ledger, begin: int, choices: tuple[int, ...], depth: int) -> None:
        self.ledger = ledger
        self.begin = begin
        self.choices = choices
        self.depth = depth

    @classmethod
    def between(cls, ledger: Ledger, begin: int) -> Header:
        """Before a block, ``begin`` tokens into the output; nothing is offered once the ledger is exhausted."""
        targets = () if ledger.exhausted else range(len(ledger.plan.targets))
        return cls(ledger, begin, tuple(target for target in targets if ledger.offers(target)), 0)

    def feed(self, data: bytes, step: Step) -> Zone | None:
        left = []
        for choice in self.choices:
            rest = self._rest(choice)
            if data.startswith(rest):  # No head is a prefix of another: each has two line feeds, the second at its end.
                zone = Quoting.begun(self.ledger, self.begin, choice)
                return zone.feed(data[len(rest) :], step) if len(data) > len(rest) else zone
            if rest.startswith(data):
                left.append(choice)
        return Header(self.ledger, self.begin, tuple(left), self.depth + len(data)) if left else None

    def mask(self) -> Int32Array:
        vocabulary = self.ledger.plan.vocabulary
        found: set[int] = set()
        for choice in self.choices:
            rest = self._rest(choice)
            found.update(vocabulary.along(rest))
            for token in vocabulary.under(rest) if rest in vocabulary.prefixes else ():
                if self.feed(vocabulary.spelling(token) or b"", Step(0, False)) is not None:
                    found.add(token)
        return vocabulary.pack(found)

    def guess(self, limit: int) -> Draft:
        """The head if only one is left, with certainty once it has begun; between blocks, the same file again."""
        choice = self.choices[0] if len(self.choices) == 1 else self.ledger.last
        if choice is None or choice not in self.choices:
            return NOTHING
        head = self.ledger.plan.targets[choice].header
        tokens = self.ledger.plan.tokens_after(head[: self.depth], head[self.depth :])[:limit]
        return Draft(tokens, len(tokens) if self.depth and len(self.choices) == 1 else 0)

    def _rest(self, choice: int) -> bytes:
        return self.ledger.plan.targets[choice].header[self.depth :]
