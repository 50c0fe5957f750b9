"""Windows, the gate, and the report of usage."""

from __future__ import annotations

import asyncio
import copy
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dovetail.serve.errors import ContextOverflow, UserError
from dovetail.serve.govern.principal import ANONYMOUS, Principal, Quota
from dovetail.serve.govern.quotas.gate import Gate, Lease
from dovetail.serve.govern.quotas.refusal import QuotaExceeded
from dovetail.serve.govern.quotas.usage import Line, UsageLog, report
from dovetail.serve.govern.quotas.window import TICKS, Window
from dovetail.serve.govern.store.database import Database

HOUR = 3600.0


def caller(name: str = "a", group: str | None = None, **quota: int) -> Principal:
    return Principal(id=name, name=name.upper(), kind="key", group=group, quota=Quota(**quota))


class Clock:
    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


moves = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 60)), max_size=60)


@given(moves, st.integers(1, 100))
def test_over_no_span_is_more_taken_than_the_limit(moves: list[tuple[float, int]], limit: int) -> None:
    window, now = Window(60.0), 0.0
    taken: deque[tuple[float, int]] = deque()
    for step, amount in moves:
        now += step
        wait = window.wait(now, limit, amount)
        if wait == 0:
            window.take(now, amount)
            taken.append((now, amount))
        elif wait < float("inf"):
            # What is waited for is enough, and hardly more than what is needed.
            assert copy.deepcopy(window).wait(now + wait, limit, amount) == 0
            assert wait <= 60 + 60 / TICKS
        else:
            assert amount > limit
        for begin, _ in taken:
            assert sum(amount for time, amount in taken if begin <= time < begin + 60) <= limit


def test_a_window_is_empty_again_after_its_span() -> None:
    window = Window(60.0)
    part = window.take(5.5, 10)
    assert (window.used(65.4), window.used(67.0)) == (10, 0)
    window.give_back(part, 10)
    assert window.used(67.0) == 0 == window.empty_in(67.0)


class Tenants(RuleBasedStateMachine):
    """Requests of three keys in two groups come and go; the model keeps every one of them."""

    QUOTAS = (
        Quota(requests_per_minute=5, tokens_per_minute=100, streams=2),
        Quota(tokens_per_day=300),
        Quota(requests_per_day=9, streams=3),
    )
    GROUPS = ("one", "one", "two")
    SHARED = {"one": Quota(tokens_per_minute=150, streams=4), "two": Quota(requests_per_minute=4)}  # noqa: RUF012

    @initialize()
    def open(self) -> None:
        self.clock = Clock()
        self.gate = Gate(self.SHARED, clock=self.clock)
        self.callers = [
            Principal(id=str(index), name="", kind="key", group=group, quota=quota)
            for index, (group, quota) in enumerate(zip(self.GROUPS, self.QUOTAS, strict=True))
        ]
        self.requests: list[tuple[float, int]] = []
        self.leases: list[tuple[float, int, Lease, list[int]]] = []

    @rule(seconds=st.floats(0, 50))
    def wait(self, seconds: float) -> None:
        self.clock.time += seconds

    @rule(who=st.integers(0, 2))
    def ask(self, who: int) -> None:
        try:
            self.gate.count_request(self.callers[who])
        except QuotaExceeded:
            pass
        else:
            self.requests.append((self.clock.time, who))

    @rule(who=st.integers(0, 2), prompt=st.integers(1, 60), answer=st.integers(1, 60))
    def admit(self, who: int, prompt: int, answer: int) -> None:
        try:
            lease = self.gate.admit(self.callers[who], "/v1/x", "m", prompt, answer)
        except UserError:
            return
        self.leases.append((self.clock.time, who, lease, [prompt + answer]))

    @precondition(lambda self: any(not lease.settled for _, _, lease, _ in self.leases))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        _, _, lease, amount = data.draw(st.sampled_from([each for each in self.leases if not each[2].settled]))
        used = data.draw(st.integers(0, lease.reserved))
        lease.settle(used, 0)
        lease.settle(0, 0)
        amount[0] = used

    @invariant()
    def never_more_than_the_limit(self) -> None:
        for who, quota in enumerate(self.QUOTAS):
            self._holds(lambda each, who=who: each == who, quota)
        for group, quota in self.SHARED.items():
            self._holds(lambda each, group=group: self.GROUPS[each] == group, quota)

    def _holds(self, mine, quota: Quota) -> None:  # type: ignore[no-untyped-def]
        now = self.clock.time
        requests = [time for time, who in self.requests if mine(who)]
        tokens = [(time, amount[0]) for time, who, _, amount in self.leases if mine(who)]
        live = sum(mine(who) and not lease.settled for _, who, lease, _ in self.leases)
        assert quota.streams is None or live <= quota.streams
        for span, most in ((60, quota.requests_per_minute), (24 * HOUR, quota.requests_per_day)):
            assert most is None or sum(time > now - span for time in requests) <= most
        for span, most in ((60, quota.tokens_per_minute), (24 * HOUR, quota.tokens_per_day)):
            assert most is None or sum(amount for time, amount in tokens if time > now - span) <= most

    def teardown(self) -> None:
        if hasattr(self, "leases"):
            for _, _, lease, _ in self.leases:
                lease.settle(0, 0)
            self.clock.time += 25 * HOUR
            # Everything that may be had at once can be had again: nothing leaked.
            for who in self.callers:
                for standing in self.gate.levels(who).values():
                    assert standing.remaining == standing.limit
            for who in self.callers:
                streams = who.quota.streams or 2
                for lease in [self.gate.admit(who, "/v1/x", "m", 1, 1) for _ in range(streams)]:
                    lease.settle(0, 0)


Tenants.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTenants = Tenants.TestCase


async def test_200_clients_at_once_get_exactly_the_quota() -> None:
    clock = Clock()
    gate = Gate(clock=clock)
    who = caller(tokens_per_minute=5000, streams=20, requests_per_minute=150)
    counts = {"in": 0, "now": 0, "most": 0}
    random_ = random.Random(7)

    async def client() -> None:
        try:
            gate.count_request(who)
            lease = gate.admit(who, "/v1/x", "m", 10, 40)
        except QuotaExceeded:
            return
        counts["in"] += 1
        counts["now"] += 1
        counts["most"] = max(counts["most"], counts["now"])
        for _ in range(random_.randrange(5)):
            await asyncio.sleep(0)
        counts["now"] -= 1
        lease.settle(10, 40)

    await asyncio.gather(*(client() for _ in range(200)))
    assert counts["most"] <= 20
    assert 20 <= counts["in"] <= 100
    while (gate.levels(who)["tokens"]).remaining >= 50:
        gate.admit(who, "/v1/x", "m", 10, 40).settle(10, 40)
    with pytest.raises(QuotaExceeded, match="tokens per minute: limit 5000, used 5000, requested 50"):
        gate.admit(who, "/v1/x", "m", 10, 40)


def test_a_request_that_can_never_fit_is_not_told_to_wait() -> None:
    gate = Gate()
    who = caller(tokens_per_minute=100, context=80)
    assert gate.answer_room(who, 30) == 50
    assert gate.answer_room(who, 30, answers=2) == 35
    assert gate.answer_room(ANONYMOUS, 30) is None
    with pytest.raises(ContextOverflow):
        gate.answer_room(who, 80)
    with pytest.raises(UserError) as caught:
        gate.answer_room(who, 100)
    assert caught.value.code == "quota_too_small"
    with pytest.raises(UserError) as caught:
        gate.admit(who, "/v1/x", "m", 50, 51)
    assert (caught.value.status, caught.value.code) == (400, "quota_too_small")


def test_one_member_can_use_up_its_group() -> None:
    gate = Gate({"team": Quota(requests_per_minute=2)}, clock=Clock())
    for name in ("a", "b"):
        gate.count_request(caller(name, "team"))
    with pytest.raises(QuotaExceeded) as caught:
        gate.count_request(caller("c", "team"))
    assert 60 <= caught.value.retry_after <= 61
    gate.count_request(caller("d"))


async def test_usage_by_everything(database: Database) -> None:
    clock = Clock(1_800_000_000.0)
    usage = UsageLog(database, now=clock)
    gate = Gate(record=usage.record, clock=clock)
    a, b = caller("a", "team", tokens_per_minute=40), caller("b")
    gate.admit(a, "/v1/x", "m", 10, 20).settle(10, 5)
    gate.admit(b, "/v1/y", "m", 1, 1).settle(1, 1)
    await usage.flush()
    clock.time += 86_400
    gate.admit(a, "/v1/x", "n", 10, 30).settle(10, 30)
    with pytest.raises(QuotaExceeded):
        gate.admit(a, "/v1/x", "n", 10, 10)
    await usage.close()
    read = {by: database.call(lambda session, by=by: report(session, by)) for by in ("key", "model", "day", "group")}
    assert read["key"] == [Line("a", "A", 2, 1, 20, 35), Line("b", "B", 1, 0, 1, 1)]
    assert read["model"] == [Line("m", "", 2, 0, 11, 6), Line("n", "", 1, 1, 10, 30)]
    assert read["group"] == [Line("", "", 1, 0, 1, 1), Line("team", "", 2, 1, 20, 35)]
    assert read["day"] == [Line("2027-01-15", "", 2, 0, 11, 6), Line("2027-01-16", "", 1, 1, 10, 30)]
    assert database.call(lambda session: report(session, "key", clock.time)) == [Line("a", "A", 1, 1, 10, 30)]


async def test_usage_that_cannot_be_written_is_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.serve.govern.store.database import StoreError

    usage = UsageLog(database, now=Clock(1_800_000_000.0))
    gate = Gate(record=usage.record)
    gate.admit(caller(), "/v1/x", "m", 1, 2).settle(1, 2)
    whole = database.run

    async def fails(work: object) -> None:
        raise StoreError("no")

    monkeypatch.setattr(database, "run", fails)
    await usage.flush()
    monkeypatch.setattr(database, "run", whole)
    await usage.close()
    assert database.call(lambda session: report(session, "key")) == [Line("a", "A", 1, 0, 1, 2)]
