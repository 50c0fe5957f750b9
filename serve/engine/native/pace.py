"""How much to do in a step: draft lengths and prompt chunks, from measured times. Knows no tokens and no models.

Drafting k tokens yields (1 - p^(k+1)) / (1 - p) tokens on average when each is confirmed with probability p (Leviathan et
al., 2023), and costs k more rows for every sequence that drafts. The best k maximises tokens per second when all running
sequences do alike; it shrinks by itself as the batch grows, because rows then cost more than the step's fixed part.
"""

from __future__ import annotations

_LENGTHS = (1, 2, 4, 8, 16, 32, 64)
_PROBE_EVERY = 16
_PROBE_LENGTH = 4


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

    def growth(self, rows: int, more: int) -> float:
        """How many times longer a step of ``rows + more`` rows takes than one of ``rows``; 1 while nothing is known."""
        if self._weight < 4:
            return 1.0
        spread = self._weight * self._rows2 - self._rows**2
        slope = 0.0
        if spread > 1e-6 * self._rows2 * self._weight:
            slope = max(0.0, (self._weight * self._rows_seconds - self._rows * self._seconds) / spread)
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        now = mean_seconds + slope * (rows - mean_rows)
        # Far from what was seen the line may cross zero; a step never costs less than its share of the mean.
        now = max(now, 0.1 * mean_seconds)
        return (now + slope * more) / now


class Acceptance:
    """How often this sequence's drafted tokens were confirmed lately."""

    def __init__(self, forget: float = 0.8) -> None:
        self._forget = forget
        self._hits, self._trials = 3.5, 5.0
        self._quiet = 0

    def observe(self, drafted: int, accepted: int) -> None:
        """One step's draft; the tokens behind the first refusal say nothing."""
        if drafted:
            self._hits = self._hits * self._forget + accepted
            self._trials = self._trials * self._forget + accepted + (accepted < drafted)

    @property
    def rate(self) -> float:
        """The estimated probability that a drafted token is confirmed."""
        return min(0.999, self._hits / self._trials)

    def length(self, cost: StepCost, running: int, longest: int) -> int:
        """How many tokens to draft in a step of ``running`` sequences; 0 while drafts do not pay."""
        rows = max(1, running)
        rate = self.rate
        best, best_gain = 0, 1.0
        for length in _LENGTHS:
            if length > longest:
                break
            tokens = (1 - rate ** (length + 1)) / (1 - rate)
            gain = tokens / cost.growth(rows, rows * length)
            if gain > best_gain * 1.02:
                best, best_gain = length, gain
        if best:
            self._quiet = 0
            return best
        self._quiet += 1
        return min(_PROBE_LENGTH, longest) if self._quiet % _PROBE_EVERY == 0 else 0


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
