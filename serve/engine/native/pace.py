"""How much to do in a step: draft lengths and prompt chunks, from measured times. Knows no tokens and no models.

Drafting k tokens yields (1 - p^(k+1)) / (1 - p) tokens on average when each is confirmed with probability p (Leviathan et
al., 2023), and costs k more rows for every sequence that drafts. The best k maximises tokens per second when all running
sequences do alike; it shrinks by itself as the batch grows, because rows then cost more than the step's fixed part.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_WORTHWHILE = 1.02
_STEPS_LEAST = 4
_PROBE_EVERY, _PROBE_RARELY = 16, 256
PROBE_LENGTH = 4
_TRY_AGAIN = 64
_EVIDENCE = (1, 2, 3, 5, 9, 17)
"""The amounts of evidence from which on drafts are counted apart."""
_RATES = (0.3, 0.3, 0.5, 0.6, 0.75, 0.85, 0.95)
_PRIOR_TRIALS = 5
_EVIDENCE_OF_EACH = (2, 3, 4, 5, 7, 9, 13, 17, 33)
_RATES_OF_EACH = (0.33, 0.52, 0.67, 0.79, 0.86, 0.89, 0.95, 0.95, 0.97, 0.98)
"""The same for each drafted token alone, those before it being evidence."""
_FORGET_EACH = 0.99
_FORCED = 0.98
"""How often forced text comes in the tokens that were expected."""
_TRUST_PRIOR, _TRUST_LEAST = 4.0, 0.05


class StepCost:
    """Seconds of a step as a linear function of its rows, fitted to the recent steps with exponential forgetting."""

    def __init__(self, forget: float = 0.98) -> None:
        self._forget = forget
        self._weight = self._rows = self._seconds = self._rows2 = self._rows_seconds = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """One step's size and duration."""
        keep = self._forget
        self._weight = self._weight * keep + 1
        self._rows = self._rows * keep + rows
        self._seconds = self._seconds * keep + seconds
        self._rows2 = self._rows2 * keep + rows * rows
        self._rows_seconds = self._rows_seconds * keep + rows * seconds

    @property
    def known(self) -> bool:
        """Whether enough steps were seen to tell what a row costs."""
        return self._weight >= _STEPS_LEAST

    @property
    def seconds(self) -> float:
        """Of a recent step, on average."""
        return self._seconds / self._weight if self._weight else 0.0

    def growth(self, rows: int, more: int) -> float:
        """How many times longer a step of ``rows + more`` rows takes than one of ``rows``; 1 while nothing is known."""
        return 1.0 + self.per_row(rows) * more

    def per_row(self, rows: int) -> float:
        """What one more row costs, in steps of ``rows`` rows."""
        if not self.known:
            return 0.0
        spread = self._weight * self._rows2 - self._rows**2
        slope = 0.0
        if spread > 1e-6 * self._rows2 * self._weight:
            slope = max(0.0, (self._weight * self._rows_seconds - self._rows * self._seconds) / spread)
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        now = mean_seconds + slope * (rows - mean_rows)
        # Far from what was seen the line may cross zero; a step never costs less than its share of the mean.
        now = max(now, 0.1 * mean_seconds)
        return slope / now


class Acceptance:
    """How often drafted tokens were confirmed lately, for each amount of evidence that the drafts had.

    Args:
        usual: the same over all sequences of an engine, from which a new sequence starts; None: from experience.
        forget: what is left of an observation after the next one.
    """

    def __init__(self, usual: Acceptance | None = None, forget: float = 0.8) -> None:
        self._usual = usual
        self._forget = forget
        rates = usual.rates if usual is not None else _RATES
        self._hits = [rate * _PRIOR_TRIALS for rate in rates]
        self._trials = [float(_PRIOR_TRIALS)] * len(rates)
        self._each: list[list[float]] = (
            [list(each) for each in usual._each] if usual is not None else _each_of(_RATES_OF_EACH)
        )
        self._quiet, self._patience = 0, _PROBE_EVERY
        self._passed_over = [0] * len(rates)

    def observe(self, drafted: int, accepted: int, evidence: int) -> None:
        """One step's draft; the tokens behind the first refusal say nothing."""
        if not drafted:
            return
        at = bisect_right(_EVIDENCE, evidence)
        self._hits[at] = self._hits[at] * self._forget + accepted
        self._trials[at] = self._trials[at] * self._forget + accepted + (accepted < drafted)
        for place in range(min(drafted, accepted + 1)):
            each = self._each[bisect_right(_EVIDENCE_OF_EACH, evidence + place)]
            each[0] = each[0] * _FORGET_EACH + (place < accepted)
            each[1] = each[1] * _FORGET_EACH + 1
        if self._usual is not None:
            self._usual.observe(drafted, accepted, evidence)

    @property
    def rates(self) -> list[float]:
        """The estimated probability that a drafted token is confirmed, for each amount of evidence."""
        return [min(0.999, hits / trials) for hits, trials in zip(self._hits, self._trials, strict=True)]

    def chances(self, draft: int, forced: int, evidence: int) -> list[float]:
        """How likely each of so many drafted tokens is confirmed once those before it were: each is evidence for the next."""
        rates = [hits / trials for hits, trials in self._each]
        return [
            _FORCED if at < forced else rates[bisect_right(_EVIDENCE_OF_EACH, evidence + at)] for at in range(draft)
        ]

    def length(self, evidence: int, cost: StepCost, running: int, longest: int) -> int:
        """How many tokens of a draft with so much evidence to verify in a step of ``running`` sequences."""
        at = bisect_right(_EVIDENCE, evidence)
        best = _best_length(self.rates[at], cost, max(1, running), longest)
        self._passed_over[at] = 0 if best else self._passed_over[at] + 1
        return best or min(longest, self._passed_over[at] % _TRY_AGAIN == 0)

    def pays(self, evidence: int, cost: StepCost, running: int, longest: int) -> bool:
        """Whether a draft with so much evidence would be worth its rows; asking changes nothing."""
        return _best_length(self.rates[bisect_right(_EVIDENCE, evidence)], cost, max(1, running), longest) > 0

    def limit(self, cost: StepCost, running: int, longest: int) -> int:
        """The most tokens that any draft may have; 0 while none pays, but for a probe now and then, ever more rarely."""
        if self._quiet:
            self._quiet += 1
            if self._quiet < self._patience:
                return 0
            self._quiet, self._patience = 0, min(2 * self._patience, _PROBE_RARELY)
            return min(PROBE_LENGTH, longest)
        most = _best_length(max(self.rates), cost, max(1, running), longest)
        if most:
            self._patience = _PROBE_EVERY
        else:
            self._quiet = 1
        return most


def _each_of(rates: Sequence[float]) -> list[list[float]]:
    return [[rate * _PRIOR_TRIALS, float(_PRIOR_TRIALS)] for rate in rates]


def _best_length(rate: float, cost: StepCost, rows: int, longest: int) -> int:
    best, best_gain = 0, 1.0
    price = cost.per_row(rows) * rows
    for length in _LENGTHS:
        if length > longest:
            break
        tokens = (1 - rate ** (length + 1)) / (1 - rate)
        gain = tokens / (1 + price * length)
        if gain > best_gain * _WORTHWHILE:
            best, best_gain = length, gain
    return best


class Trust:
    """How many tokens of branches were confirmed lately, in parts of how many were hoped for.

    Args:
        usual: the same over all sequences of an engine, from which a new sequence starts; None: as many as hoped.
        forget: what is left of an observation after the next one.
    """

    def __init__(self, usual: Trust | None = None, forget: float = 0.98) -> None:
        self._usual = usual
        self._forget = forget
        self._hoped = _TRUST_PRIOR
        self._confirmed = _TRUST_PRIOR * (usual.share if usual is not None else 1.0)

    def observe(self, hoped: float, confirmed: int) -> None:
        """One step's branches."""
        self._hoped = self._hoped * self._forget + hoped
        self._confirmed = self._confirmed * self._forget + confirmed
        if self._usual is not None:
            self._usual.observe(hoped, confirmed)

    @property
    def share(self) -> float:
        """Never nothing, so that it can be regained."""
        return min(1.5, max(_TRUST_LEAST, self._confirmed / max(self._hoped, 1e-6)))


class SproutCost:
    """Seconds that it takes to find a draft's branches, for each drafted token, lately."""

    def __init__(self) -> None:
        self._seconds = 1e-4

    def observe(self, tokens: int, seconds: float) -> None:
        """One draft's."""
        self._seconds = 0.9 * self._seconds + 0.1 * seconds / max(1, tokens)

    def price(self, cost: StepCost) -> float:
        """The same in steps."""
        return self._seconds / max(cost.seconds, 1e-6)


class PromptPace:
    """How many prompt tokens may join a step that others are waiting for, so that it takes about ``target_s`` seconds."""

    def __init__(self, target_s: float, least: int = 32) -> None:
        self._target_s = target_s
        self._least = least
        self._tokens_per_s: float | None = None

    def observe(self, rows: int, seconds: float) -> None:
        """One step that held a prompt chunk."""
        rate = rows / max(seconds, 1e-6)
        self._tokens_per_s = rate if self._tokens_per_s is None else 0.7 * self._tokens_per_s + 0.3 * rate

    def budget(self, most: int) -> int:
        """Tokens for the coming step, at most ``most``; careful until a rate is known."""
        if self._tokens_per_s is None:
            return min(most, 4 * self._least)
        return max(min(most, self._least), min(most, int(self._tokens_per_s * self._target_s)))
