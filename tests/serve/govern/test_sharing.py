"""Several servers on one database: what one lets in counts for the others, and is there again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from dovetail.serve.govern.principal import Principal, Quota
from dovetail.serve.govern.quotas import sharing as module
from dovetail.serve.govern.quotas.gate import Gate
from dovetail.serve.govern.quotas.refusal import QuotaExceeded
from dovetail.serve.govern.quotas.sharing import RENEW_SECONDS, STREAMS_SECONDS, WAIT_SECONDS, Sharing
from dovetail.serve.govern.quotas.window import Window
from dovetail.serve.govern.store.database import Database, StoreError

HOUR = 3600.0
TEAM = {"team": Quota(tokens_per_day=250)}
ANN = Principal(
    id="ann",
    name="",
    kind="key",
    group="team",
    quota=Quota(tokens_per_day=200, tokens_per_minute=150, requests_per_day=5, streams=2),
)


class Clock:
    def __init__(self) -> None:
        self.time = time.time()

    def __call__(self) -> float:
        return self.time


class Server:
    """A gate and its share of a database."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.database = Database(url)
        self.gate = Gate(TEAM, clock=clock)
        self.sharing = Sharing(self.database, self.gate, clock=clock)

    def left(self, kind: str = "tokens") -> int:
        return self.gate.levels(ANN)[kind].remaining


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def servers(store_url: str, clock: Clock) -> Iterator[list[Server]]:
    servers = [Server(store_url, clock) for _ in range(3)]
    yield servers
    for server in servers:
        server.database.close()


async def test_what_one_lets_in_counts_for_all(servers: list[Server], clock: Clock) -> None:
    first, second, _ = servers
    first.gate.count_request(ANN)
    lease = first.gate.admit(ANN, "/v1/x", "m", 50, 50)
    await first.sharing.share()
    await second.sharing.share()
    assert (second.left(), second.left("requests")) == (50, 4)
    with pytest.raises(QuotaExceeded, match="used 100, requested 60"):
        second.gate.admit(ANN, "/v1/x", "m", 30, 30)
    lease.settle(20, 10)
    second.gate.admit(ANN, "/v1/x", "m", 20, 20)
    for server in (first, second, first):
        await server.sharing.share()
    assert [server.left() for server in servers] == [80, 80, 150]
    clock.time += 61
    await servers[2].sharing.share()
    assert [server.left() for server in servers] == [130, 130, 130]


async def test_streams_count_while_their_server_lives(servers: list[Server], clock: Clock) -> None:
    first, second, _ = servers
    leases = [first.gate.admit(ANN, "/v1/x", "m", 1, 1) for _ in range(2)]
    await first.sharing.share()
    await second.sharing.share()
    for _ in range(4):  # renewed, also where nothing changes
        with pytest.raises(QuotaExceeded, match="2 requests of this credential"):
            second.gate.admit(ANN, "/v1/x", "m", 1, 1)
        clock.time += RENEW_SECONDS
        await first.sharing.share()
        await second.sharing.share()
    leases[0].settle(1, 1)
    await first.sharing.share()
    await second.sharing.share()
    taken = second.gate.admit(ANN, "/v1/x", "m", 1, 1)
    with pytest.raises(QuotaExceeded):
        second.gate.admit(ANN, "/v1/x", "m", 1, 1)
    clock.time += STREAMS_SECONDS  # the first one was killed
    await second.sharing.share()
    second.gate.admit(ANN, "/v1/x", "m", 1, 1).settle(1, 1)
    taken.settle(1, 1)


async def test_nothing_is_forgotten_with_a_process(servers: list[Server], store_url: str, clock: Clock) -> None:
    servers[0].gate.admit(ANN, "/v1/x", "m", 30, 40)
    servers[0].gate.count_request(ANN)
    await servers[0].sharing.share()
    for hours, left, requests in ((0, 80, 4), (3, 130, 4), (25, 150, 5)):
        clock.time += hours * HOUR
        with contextlib.closing(Database(store_url)) as database:
            gate = Gate(TEAM, clock=clock)
            Sharing(database, gate, clock=clock)
            assert (gate.levels(ANN)["tokens"].remaining, gate.levels(ANN)["requests"].remaining) == (left, requests)
            assert gate.account("group:team").tokens_per_day.used(clock.time) == (70 if hours < 25 else 0)
            assert gate.account("ann").all_streams == 0


async def test_what_could_not_be_told_is_told_later(
    servers: list[Server], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = servers
    first.gate.admit(ANN, "/v1/x", "m", 30, 40)

    async def fails(work: object) -> None:
        raise StoreError("no")

    with monkeypatch.context() as patched:
        patched.setattr(first.database, "run", fails)
        await first.sharing.share()
    await first.sharing.share()
    await second.sharing.share()
    assert second.left() == 80


async def test_a_request_waits_only_for_counts_that_are_old(servers: list[Server], clock: Clock) -> None:
    first, second, _ = servers
    first.gate.admit(ANN, "/v1/x", "m", 30, 40)
    await first.sharing.share()
    await second.sharing.fresh()
    assert second.left() == 150
    clock.time += WAIT_SECONDS
    await second.sharing.fresh()
    assert second.left() == 80


async def test_it_goes_on_by_itself(servers: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARE_SECONDS", 0.01)
    first, second, _ = servers
    lease = first.gate.admit(ANN, "/v1/x", "m", 30, 40)
    async with asyncio.timeout(30):
        while second.left() != 80:
            await asyncio.sleep(0.01)
            await second.sharing.share()
        lease.settle(1, 1)
        while second.left() != 148:
            await asyncio.sleep(0.01)
            await second.sharing.share()
    await first.sharing.close()


async def test_old_counts_go_from_the_database(
    servers: list[Server], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = servers[0]
    monkeypatch.setattr(time, "time", clock)
    first.gate.admit(ANN, "/v1/x", "m", 1, 1).settle(1, 1)
    await first.sharing.share()

    def rows() -> set[str]:
        found = first.database.call(lambda session: session.execute("SELECT DISTINCT counter FROM quota_counts"))
        return {row[0] for row in found}

    assert rows() == {"tokens_per_minute", "tokens_per_day"}
    clock.time += 2 * HOUR
    await first.sharing.share()
    assert rows() == {"tokens_per_day"}
    clock.time += 24 * HOUR
    await first.sharing.share()
    assert rows() == set()


def test_parts_that_come_late_are_counted_where_they_belong() -> None:
    window = Window(60.0)
    window.take(100.0, 5)
    window.learn(90, "other", 7)
    window.learn(110, "other", 1)
    window.learn(90, "other", 9)
    assert (window.used(100.0), window.used(151.5), window.used(162.0), window.used(172.0)) == (15, 6, 1, 0)
    assert window.untold() == []
