"""What has just happened: the latest requests, and the last minutes second by second. In memory; keeps no text of anybody.

Counted while it happens, so that nothing has to be sampled, and a page that is opened late sees what was before.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

PASSING = "dovetail.passing"
"""In the scope: the request as it is remembered here."""

SECONDS = 900
"""How far back is remembered."""
REQUESTS = 500
MOST_STEPS = 1000
"""Of one request, for its trace."""
_LONGEST_PATH = 120


@dataclass
class Passing:
    """One request, while it is answered and after. ``seconds`` None: it is being answered.

    ``status``: as in the log: 499 for a client that left. ``code``: of the error that was told, in mid-stream too. ``steps``: for
    traces: after how many seconds each step of the engine brought how many tokens; None: nobody wants to know.
    """

    request_id: str
    method: str
    path: str
    client: str
    began: float
    who: str = ""
    status: int | None = None
    code: str | None = None
    seconds: float | None = None
    first_token_s: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    route: str = "unknown"
    traceparent: str = ""
    steps: list[tuple[float, int]] | None = None

    @property
    def outcome(self) -> str:
        """``running``, ``answered``, ``refused`` (the caller's fault), ``left`` or ``failed`` (the server's)."""
        if self.seconds is None:
            return "running"
        if self.status == 499:
            return "left"
        if self.status is None or self.status >= 500:
            return "failed"
        if self.status >= 400:
            return "refused"
        return "failed" if self.code is not None else "answered"


@dataclass
class Second:
    """What one second brought. ``running``: the most requests at a time."""

    tokens: int = 0
    running: int = 0
    ended: Counter[str] = field(default_factory=Counter)


class Recent:
    """Told of every request by whoever observes it.

    Args:
        now: seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._running: dict[int, Passing] = {}
        self._ended: deque[Passing] = deque(maxlen=REQUESTS)
        self._seconds: dict[int, Second] = {}
        self.since = now()
        self.trace: Callable[[Passing], None] | None = None
        """Told of every request that has ended, where traces are wanted."""

    def begin(self, request_id: str, method: str, path: str, client: str) -> Passing:
        """A request has come."""
        passing = Passing(request_id, method, path[:_LONGEST_PATH], client, self._now())
        passing.steps = [] if self.trace is not None else None
        self._running[id(passing)] = passing
        second = self._second()
        second.running = max(second.running, len(self._running))
        return passing

    def end(self, passing: Passing, status: int, code: str | None, seconds: float) -> None:
        """It is over."""
        del self._running[id(passing)]
        passing.status, passing.code, passing.seconds = status, code, seconds
        self._ended.append(passing)
        self._second().ended[passing.outcome] += 1
        if self.trace is not None:
            self.trace(passing)
            passing.steps = None

    def tokens(self, count: int) -> None:
        """So many tokens have come out of the engine."""
        second = self._second()
        second.tokens += count
        second.running = max(second.running, len(self._running))

    def requests(self) -> list[Passing]:
        """Those being answered, then those that ended, the latest first."""
        running = sorted(self._running.values(), key=lambda each: each.began, reverse=True)
        return [*running, *reversed(self._ended)]

    def seconds(self, count: int) -> list[Second]:
        """The last ``count`` whole seconds, the latest last."""
        now = int(self._now())
        return [self._seconds.get(at, _NOTHING) for at in range(now - count, now)]

    def latencies(self) -> dict[str, list[float]]:
        """Seconds to the first token, between tokens (the mean of an answer) and to the end, of answers with tokens."""
        since = self._now() - SECONDS
        found: dict[str, list[float]] = {"first_token": [], "between_tokens": [], "whole": []}
        for each in self._ended:
            if each.began < since or each.first_token_s is None or each.seconds is None:
                continue
            found["first_token"].append(each.first_token_s)
            found["whole"].append(each.seconds)
            if each.completion_tokens > 1:
                found["between_tokens"].append((each.seconds - each.first_token_s) / (each.completion_tokens - 1))
        return found

    def _second(self) -> Second:
        at = int(self._now())
        second = self._seconds.get(at)
        if second is None:
            second = self._seconds[at] = Second()
            for old in [key for key in self._seconds if key < at - SECONDS]:
                del self._seconds[old]
        return second


_NOTHING = Second()


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that at least ``share`` of ``values`` do not exceed; None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def series(seconds: Iterable[Second], name: str) -> list[int]:
    """``tokens``, ``running`` or the count of an outcome, second by second."""
    return [getattr(each, name) if name in ("tokens", "running") else each.ended[name] for each in seconds]
