"""Where a draft branches: the rows of a step go to the tokens that most likely come, on the draft and beside it.

Best first: a token's probability is that of what it comes behind, times its own. Knows no models and no text.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from dovetail.serve.constrain.base import Branch, Constraint, Draft
from dovetail.serve.engine.native.followers import Followers

_LEAST = 0.002
"""Less likely tokens are not looked at."""
_PART = 0.15
"""What adds less than this part of that is not counted."""


class Budget(NamedTuple):
    """``rows`` drafted tokens at most, of which the first ``kept`` of the main draft are taken anyhow.

    ``price``: of a row, in steps: a token is worth one if it is likely enough to make the step's tokens cheaper. ``trust``: how
    likely a follower comes in truth, in parts of what is said of it.
    """

    rows: int
    kept: int
    price: float = 0.0
    trust: float = 1.0


class _Node(NamedTuple):
    """``path``: the tokens behind the last known one."""

    parent: int
    token: int
    likely: float
    path: tuple[int, ...]
    state: Constraint | None


class Sprouting:
    """Grows one draft.

    Args:
        draft: the main draft, of which tokens may be left out at its end.
        rates: how likely each of its tokens is confirmed once those before it were.
        followers: of the request.
        state: what holds the output; None: nothing.
    """

    def __init__(self, draft: Draft, rates: Sequence[float], followers: Followers, state: Constraint | None) -> None:
        self._draft, self._rates = draft, rates
        self._followers = followers
        self._nodes: list[_Node] = [_Node(-1, -1, 1.0, (), state)]
        self._main = [0]
        self._children: set[tuple[int, int]] = set()
        self._heap: list[tuple[float, int, int, int, bool]] = []
        self._order = 0
        self._least = _LEAST

    def grown(self, budget: Budget) -> Draft:
        """The draft with its branches."""
        chance = gain = 1.0
        for rate in self._rates[: budget.kept]:
            chance *= rate
            gain += chance
        # What a token must be worth at least; more, once others have been taken that are.
        self._least = max(_LEAST, budget.price * gain / (1 + budget.price * (1 + budget.kept)))
        self._look_behind(0, budget)
        while len(self._main) <= min(budget.kept, len(self._draft.tokens)):
            self._add(self._main[-1], self._draft.tokens[len(self._main) - 1], main=True, budget=budget)
        while self._heap and len(self._nodes) <= budget.rows:
            likely, _, parent, token, main = heapq.heappop(self._heap)
            if -likely < budget.price * gain / (1 + budget.price * len(self._nodes)):
                break
            if (parent, token) not in self._children and self._add(
                parent, token, main=main, budget=budget, likely=-likely
            ):
                gain -= likely
        return self._drafted()

    @property
    def _hoped(self) -> float:
        """How many tokens of branches are likely to be confirmed."""
        main = set(self._main)
        return sum(node.likely for number, node in enumerate(self._nodes) if number not in main)

    def _add(self, parent: int, token: int, *, main: bool, budget: Budget, likely: float | None = None) -> bool:
        before = self._nodes[parent]
        state = before.state
        if state is not None:
            if not main and not state.admits((token,)):
                return False
            state = state.advance(token)
        if likely is None:
            likely = before.likely * self._rates[len(self._main) - 1]
        self._children.add((parent, token))
        self._nodes.append(_Node(parent, token, likely, (*before.path, token), state))
        if main:
            self._main.append(len(self._nodes) - 1)
        self._look_behind(len(self._nodes) - 1, budget)
        return True

    def _look_behind(self, number: int, budget: Budget) -> None:
        """Note what may come behind a node."""
        node, place = self._nodes[number], len(self._main) - 1
        drafted, rate = None, 0.0
        if number == self._main[-1] and place < len(self._draft.tokens):
            drafted, rate = self._draft.tokens[place], self._rates[place]
            if place >= budget.kept:
                self._push(node.likely * rate, number, drafted, main=True)
        rest = node.likely * (1 - rate) * budget.trust
        if rest < self._least:
            return
        for token, share in self._followers.after(node.path, drafted, _PART * self._least / rest).items():
            if rest * share >= self._least and token != drafted:
                self._push(rest * share, number, token, main=False)

    def _push(self, likely: float, parent: int, token: int, *, main: bool) -> None:
        self._order += 1
        heapq.heappush(self._heap, (-likely, self._order, parent, token, main))

    def _drafted(self) -> Draft:
        """The tree as a draft and its branches, the most likely first."""
        numbers = {node: at - 1 for at, node in enumerate(self._main)}
        following: dict[int, int] = {}
        for number, node in enumerate(self._nodes):
            if number not in numbers and node.parent not in numbers:
                following.setdefault(node.parent, number)
        branches: list[Branch] = []
        count = len(self._main) - 1
        for number, node in enumerate(self._nodes):
            if number in numbers:
                continue
            tokens, behind, at = [], numbers[node.parent], number
            while True:
                tokens.append(self._nodes[at].token)
                numbers[at] = count
                count += 1
                if at not in following:
                    break
                at = following[at]
            branches.append(Branch(behind, tuple(tokens)))
        main = len(self._main) - 1
        return self._draft._replace(
            tokens=tuple(self._draft.tokens[:main]),
            forced=min(self._draft.forced, main),
            branches=tuple(branches),
            hoped=self._hoped,
        )
