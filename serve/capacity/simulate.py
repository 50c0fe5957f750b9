"""A discrete-event simulation of many servers behind one address: does routing by conversation keep prefixes cached.

Conversations come at random times (Poisson) and take several turns, each with all earlier text as its prefix. A server works on
``places`` requests at once, and keeps prefixes of the conversations it served last. Two ways of routing: to the server that a consistent
hash of the conversation names (Karger et al., 1997) unless it is much fuller than the others, or to the least busy one.
"""

from __future__ import annotations

import heapq
import random
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Literal

Routing = Literal["prefix", "least busy"]
_TOO_FULL = 1.25
"""How much fuller than the mean the named server may be (Mirrokni et al., 2016: bounded loads)."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """``arrivals``: conversations per second; ``prefill``: new prompt tokens per second of one server; ``stream``: tokens per second
    of one stream; ``cache``: tokens of prefixes that a server keeps."""

    servers: int
    arrivals: float
    routing: Routing
    conversations: int = 2000
    turns: int = 6
    pause_s: float = 20.0
    first_prompt: int = 6000
    more_per_turn: int = 800
    output: int = 300
    places: int = 64
    prefill: float = 8000.0
    stream: float = 40.0
    cache: int = 400_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Shares and seconds over all requests."""

    requests: int
    cached: float
    first_token_p50_s: float
    first_token_p95_s: float
    fullest: float
    """The busiest server's requests over the mean."""


@dataclass
class _Server:
    running: int = 0
    served: int = 0
    free_at: float = 0.0
    """When its prefills so far are done."""
    waiting: deque[tuple[float, int, int]] = field(default_factory=deque)
    kept: OrderedDict[int, int] = field(default_factory=OrderedDict)
    kept_tokens: int = 0


def simulate(setting: Setting, seed: int = 1) -> Outcome:
    """Run all conversations to their end."""
    return _Simulation(setting, seed).run()


class _Simulation:
    """The state of one run: events are (time, number, kind, conversation or server, turn)."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self._set = setting
        self._chance = random.Random(seed)
        self._servers = [_Server() for _ in range(setting.servers)]
        self._loads = _Loads(setting.servers)
        self._events: list[tuple[float, int, str, int, int]] = []
        self._number = 0
        self._firsts: list[float] = []
        self._cached = self._asked = 0
        self._ring = [
            random.Random(f"{seed} {at}").sample(range(setting.servers), min(8, setting.servers)) for at in range(4096)
        ]

    def run(self) -> Outcome:
        """All conversations."""
        at = 0.0
        for conversation in range(self._set.conversations):
            at += self._chance.expovariate(self._set.arrivals)
            self._later(at, "turn", conversation, 0)
        while self._events:
            now, _, kind, who, turn = heapq.heappop(self._events)
            if kind == "turn":
                self._arrive(now, who, turn)
            else:
                self._leave(now, who)
        firsts = sorted(self._firsts)
        served = [each.served for each in self._servers]
        return Outcome(
            requests=len(firsts),
            cached=self._cached / self._asked,
            first_token_p50_s=firsts[len(firsts) // 2],
            first_token_p95_s=firsts[int(len(firsts) * 0.95)],
            fullest=max(served) / (sum(served) / len(served)),
        )

    def _later(self, at: float, kind: str, who: int, turn: int) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, kind, who, turn))

    def _arrive(self, now: float, conversation: int, turn: int) -> None:
        where = self._route(conversation)
        server = self._servers[where]
        self._loads.add(where, 1)
        if server.running < self._set.places:
            self._start(now, now, where, conversation, turn)
        else:
            server.waiting.append((now, conversation, turn))

    def _start(self, asked: float, now: float, where: int, conversation: int, turn: int) -> None:
        server, told = self._servers[where], self._set
        prompt = told.first_prompt + turn * told.more_per_turn
        known = min(server.kept.get(conversation, 0), prompt)
        self._asked += prompt
        self._cached += known
        server.running += 1
        server.served += 1
        server.free_at = max(now, server.free_at) + (prompt - known) / told.prefill
        self._firsts.append(server.free_at - asked)
        end = server.free_at + told.output / told.stream
        self._later(end, "end", where, 0)
        self._keep(server, conversation, prompt + told.output)
        if turn + 1 < told.turns:
            self._later(end + self._chance.expovariate(1 / told.pause_s), "turn", conversation, turn + 1)

    def _leave(self, now: float, where: int) -> None:
        server = self._servers[where]
        server.running -= 1
        self._loads.add(where, -1)
        if server.waiting:
            asked, conversation, turn = server.waiting.popleft()
            self._start(asked, now, where, conversation, turn)

    def _keep(self, server: _Server, conversation: int, tokens: int) -> None:
        server.kept_tokens += tokens - server.kept.pop(conversation, 0)
        server.kept[conversation] = tokens
        while server.kept_tokens > self._set.cache and len(server.kept) > 1:
            _, gone = server.kept.popitem(last=False)
            server.kept_tokens -= gone

    def _route(self, conversation: int) -> int:
        loads = self._loads
        if self._set.routing == "least busy":
            chance = self._chance.random
            lots = [chance() for _ in self._servers]
            return min(loads.least(), key=lots.__getitem__)
        bound = max(1.0, _TOO_FULL * (loads.total + 1) / len(self._servers))
        named = self._ring[conversation * 2654435761 % len(self._ring)]
        return next((at for at in named if loads.of[at] < bound), min(named, key=loads.of.__getitem__))


class _Loads:
    """Requests that every server has, running and waiting, and which have the fewest: kept up to date one by one."""

    def __init__(self, servers: int) -> None:
        self.of = [0] * servers
        self.total = 0
        self._by_load: defaultdict[int, set[int]] = defaultdict(set, {0: set(range(servers))})
        self._fewest = 0

    def add(self, where: int, change: int) -> None:
        """One request more, or one fewer."""
        load = self.of[where]
        self._by_load[load].remove(where)
        self._by_load[load + change].add(where)
        self.of[where] = load + change
        self.total += change
        if change < 0:
            self._fewest = min(self._fewest, load + change)
        while not self._by_load[self._fewest]:
            self._fewest += 1

    def least(self) -> set[int]:
        """Those with the fewest requests."""
        return self._by_load[self._fewest]
