"""The audit logs of several servers in one PostgreSQL database: killed, cut off, taken over, tampered with, read together."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pg8000.dbapi import DatabaseError
from postgres_server import empty_database, run_statement
from typer.testing import CliRunner

from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import UserError
from dovetail.serve.govern.audit import search as search_module
from dovetail.serve.govern.audit.cli import app
from dovetail.serve.govern.audit.log import AuditLog, AuditUnavailable, Private, record_once
from dovetail.serve.govern.audit.search import search
from dovetail.serve.govern.audit.settings import AuditSettings, audit_settings, machine_name
from dovetail.serve.govern.audit.shared import SharedChain
from dovetail.serve.govern.audit.show import ELSEWHERE, GONE, Filter, shared_records
from dovetail.serve.govern.audit.verify import verify_shared
from dovetail.serve.govern.store.database import Database, Session, StoreError

BUSY = """
import sys, threading
from dovetail.serve.govern.audit.log import AuditLog
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.shared import SharedChain
SharedChain.__init__.__kwdefaults__["lease_s"] = 0.5
log = AuditLog(AuditSettings(database=sys.argv[1], name="one"))
def write(number):
    for turn in range(10 ** 9):
        log.record("answered", {"n": f"{sys.argv[2]}-{number}-{turn}"}).result()
        print(number, flush=True)
for number in range(3):
    threading.Thread(target=write, args=(number,), daemon=True).start()
write(3)
"""


@pytest.fixture
def url(postgres: str) -> str:
    return empty_database(postgres)


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedChain.__init__, "__kwdefaults__", {"lease_s": 0.5})


@pytest.fixture
def open_log(url: str) -> Iterator[Callable[..., AuditLog]]:
    with contextlib.ExitStack() as stack:

        def opened(name: str = "one", **more: Any) -> AuditLog:
            log = AuditLog(AuditSettings(database=url, name=name, **more))
            stack.callback(log.close)
            return log

        yield opened


@pytest.fixture
def execute(url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Runs a statement as whoever has the database does."""
    with contextlib.closing(Database(url)) as database:
        yield lambda *statement: database.call(lambda session: session.execute(*statement))


def numbers(url: str, chain: str | None = None) -> list[Any]:
    return [record["n"] for record in shared_records(url, Filter(), chain) if "n" in record]


def kinds(url: str, chain: str | None = None) -> list[str]:
    return [record["kind"] for record in shared_records(url, Filter(), chain)]


def problems(url: str, **more: Any) -> dict[str, str | None]:
    return {name: verdict.problem for name, verdict in verify_shared(url, **more).items()}


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_servers_write_at_the_same_time_and_are_read_together(url: str, open_log: Callable[..., AuditLog]) -> None:
    def write(log: AuditLog) -> None:
        for number in range(300):
            log.record("answered", {"n": f"{log.settings.name}-{number}", "who": {"name": log.settings.name}})

    logs = [open_log(name) for name in ("one", "two", "three")]
    threads = [threading.Thread(target=write, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    assert problems(url) == {"one": None, "two": None, "three": None}
    for name in ("one", "two", "three"):
        assert numbers(url, name) == [f"{name}-{number}" for number in range(300)]
    assert sorted(numbers(url)) == sorted(f"{name}-{n}" for name in ("one", "two", "three") for n in range(300))
    verified = CliRunner().invoke(app, ["verify", url])
    assert verified.output == "one: whole: 301 records\nthree: whole: 301 records\ntwo: whole: 301 records\n"
    shown = CliRunner().invoke(app, ["show", url, "--who", "two", "--json"])
    assert {json.loads(line)["log"] for line in shown.output.splitlines()} == {"two"}
    of_one = CliRunner().invoke(app, ["show", "--name", "three"], env={"DOVETAIL_AUDIT": url})
    assert len(of_one.output.splitlines()) == 301
    nobody = CliRunner().invoke(app, ["verify", url, "--name", "four"])
    assert isinstance(nobody.exception, ConfigError)


def test_killed_under_load_the_next_of_its_name_goes_on(url: str, open_log: Callable[..., AuditLog]) -> None:
    told = 0
    for turn in range(2):
        with subprocess.Popen([sys.executable, "-c", BUSY, url, str(turn)], stdout=subprocess.PIPE) as busy:
            assert busy.stdout is not None
            for _ in range(150 + 37 * turn):
                busy.stdout.readline()
            busy.send_signal(signal.SIGKILL)
            told += 150 + 37 * turn + len(busy.stdout.read().split())
        assert problems(url) == {"one": None}
        found = numbers(url)
        assert len(found) >= told, "what was said to be written is there"
        assert max(Counter(found).values()) == 1
        log = open_log()
        assert not log.left_in_order
        log.close()
        again = open_log()
        assert again.left_in_order
        again.close()


def test_connections_that_break_lose_and_double_nothing(
    url: str, postgres: str, open_log: Callable[..., AuditLog]
) -> None:
    log = open_log()
    written = []
    for number in range(400):
        written.append(log.record("answered", {"n": number}))
        if number % 50 == 25:
            break_connections(postgres, url)
    for each in written:
        each.result(60)
    log.close()
    assert numbers(url) == list(range(400))
    assert problems(url) == {"one": None}
    assert log.counts.lost == 0 and log.counts.records == 401


def break_connections(postgres: str, url: str) -> None:
    name = url.rpartition("/")[2]
    run_statement(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_without_the_database_requests_are_refused_and_nothing_is_lost(
    url: str, postgres: str, open_log: Callable[..., AuditLog]
) -> None:
    name = url.rpartition("/")[2]
    log = open_log()
    log.record("answered", {"n": 0}).result(60)
    log.require()
    run_statement(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    break_connections(postgres, url)
    waiting = [log.record("answered", {"n": number}) for number in (1, 2)]
    eventually(lambda: log.counts.failing is not None)
    with pytest.raises(AuditUnavailable, match="not currently accepting connections"):
        log.require()
    assert not any(each.done() for each in waiting)
    with pytest.raises(StoreError):
        AuditLog(AuditSettings(database=url, name="two"))
    run_statement(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    for each in waiting:
        each.result(60)
    eventually(lambda: log.counts.failing is None)
    log.require()
    log.close()
    assert numbers(url) == [0, 1, 2]


class Lost:
    """Answers of the database that get lost on their way, while ``some``: the work was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.some = False
        real = Database.call

        def call(database: Database, work: Callable[[Session], Any]) -> Any:
            done = real(database, work)
            if self.some:
                raise StoreError("The connection is gone.")
            return done

        monkeypatch.setattr(Database, "call", call)


def test_a_batch_whose_answer_was_lost_is_not_written_twice(
    url: str, open_log: Callable[..., AuditLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Lost(monkeypatch)
    log = open_log()
    lost.some = True
    waiting = [log.record("answered", {"n": number}) for number in range(5)]
    eventually(lambda: log.counts.failing is not None)
    lost.some = False
    for each in waiting:
        each.result(60)
    log.close()
    assert numbers(url) == [0, 1, 2, 3, 4]
    assert problems(url) == {"one": None}


def test_where_losses_are_counted_requests_go_on_and_the_chain_too(
    url: str, open_log: Callable[..., AuditLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Lost(monkeypatch)
    log = open_log(full="count")
    lost.some = True
    for number in range(3):
        with pytest.raises(AuditUnavailable):
            log.record("answered", {"n": number}).result(60)
        log.require()
    lost.some = False
    log.record("answered", {"n": 3}).result(60)
    log.close()
    # The first was written, and only the word of it lost: three at most are missing, as the record says.
    assert numbers(url) == [0, 3]
    assert [record["records"] for record in shared_records(url, Filter()) if record["kind"] == "lost"] == [3]
    assert problems(url) == {"one": None}


def test_one_writer_a_name_and_who_is_taken_over_writes_no_more(
    url: str, open_log: Callable[..., AuditLog], execute: Callable[..., list[tuple[Any, ...]]]
) -> None:
    log = open_log()
    log.record("answered", {"n": 0}).result(60)
    execute("UPDATE audit_chains SET until = until + 3600")
    with pytest.raises(ConfigError, match="--audit-name"):
        open_log()
    execute("UPDATE audit_chains SET until = 0")  # as if it had not been heard of for long
    successor = open_log()
    late = log.record("answered", {"n": 1})
    eventually(lambda: log.counts.failing is not None)
    with pytest.raises(AuditUnavailable, match="taken over"):
        log.require()
    successor.record("answered", {"n": 2}).result(60)
    log.close()
    with pytest.raises(AuditUnavailable):
        late.result(60)
    successor.close()
    assert numbers(url) == [0, 2]
    assert problems(url) == {"one": None}


PAGE = Path(__file__).resolve().parents[4] / "docs" / "audit.md"
GRANTS = (
    PAGE.read_text(encoding="utf-8").split("<!-- example: a role that only writes -->\n```sql\n")[1].split(";\n```")[0]
)


def test_roles_that_may_only_write_or_only_read(
    url: str, postgres: str, execute: Callable[..., list[tuple[Any, ...]]]
) -> None:
    for role in ("writer", "auditor"):
        with contextlib.suppress(DatabaseError):  # from another test of this server
            run_statement(postgres, f"CREATE ROLE {role} LOGIN")
    execute("GRANT SELECT ON schema_version, audit_records, audit_chains TO auditor")
    for grant in GRANTS.replace("dovetail_audit", "writer").split(";\n"):
        execute(grant)
    as_writer, as_auditor = (url.replace("dovetail@", f"{role}@") for role in ("writer", "auditor"))
    log = AuditLog(AuditSettings(database=as_writer, name="one"))
    log.record("answered", {"n": 0}).result(60)
    log.close()
    assert problems(as_auditor) == {"one": None}
    assert numbers(as_auditor) == [0]
    with contextlib.closing(Database(as_writer)) as database, pytest.raises(StoreError, match="permission denied"):
        database.call(lambda session: session.execute(CHANGED))


def test_commands_share_a_chain(url: str) -> None:
    settings = AuditSettings(database=url, name="commands")
    threads = [threading.Thread(target=record_once, args=(settings, "admin", {"n": number})) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(url)) == [0, 1, 2, 3]
    assert problems(url) == {"commands": None}


CHANGED = "UPDATE audit_records SET line = replace(line, '\"n\":2,', '\"n\":7,') WHERE chain = 'one'"
TAMPERED = {
    "a record changed": (CHANGED, "record 2"),
    "one taken out": ("DELETE FROM audit_records WHERE chain = 'one' AND seq = 2", "removed, added or moved"),
    "the last cut off": ("DELETE FROM audit_records WHERE chain = 'one' AND seq > 3", "at the end are missing"),
    "one added": (
        "INSERT INTO audit_records SELECT chain, seq + 1, at_ms, line FROM audit_records WHERE chain = 'one' AND seq = 5",
        "the rest was added",
    ),
    "moved in time": ("UPDATE audit_records SET at_ms = at_ms + 9000 WHERE chain = 'one' AND seq = 1", "another time"),
    "its row removed": ("DELETE FROM audit_chains WHERE name = 'one'", "its row in audit_chains is missing"),
    "all its records removed": ("DELETE FROM audit_records WHERE chain = 'one'", "at the end are missing"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_found(
    url: str, open_log: Callable[..., AuditLog], execute: Callable[..., list[tuple[Any, ...]]], what: str
) -> None:
    for name in ("one", "two"):
        log = open_log(name)
        for number in range(5):
            log.record("answered", {"n": number}).result(60)
        log.close()
    assert problems(url) == {"one": None, "two": None}
    statement, said = TAMPERED[what]
    execute(statement)
    found = problems(url)
    assert found["two"] is None
    assert said in (found["one"] or ""), found
    assert CliRunner().invoke(app, ["verify", url]).exit_code == 1
    if what in ("the last cut off", "one added", "all its records removed"):
        with pytest.raises(ConfigError, match="not what was written"):
            open_log()


def test_a_history_that_was_rewritten_is_found_by_the_seal_and_by_the_anchor_outside(
    url: str, open_log: Callable[..., AuditLog], execute: Callable[..., list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    anchor, key = tmp_path / "one.anchor", tmp_path / "key"
    key.write_bytes(b"k" * 32)
    log = open_log(anchor=anchor, seal=key)
    for number in range(5):
        log.record("answered", {"n": number}).result(60)
    log.close()
    whole = ["verify", url, "--name", "one", "--anchor", str(anchor), "--seal", str(key)]
    assert CliRunner().invoke(app, whole).output == "one: whole: 6 records\n"
    unnamed = CliRunner().invoke(app, ["verify", url, "--anchor", str(anchor)])
    assert isinstance(unnamed.exception, ConfigError)
    execute("DELETE FROM audit_records WHERE seq > 2")
    [(line,)] = execute("SELECT line FROM audit_records WHERE seq = 2")
    execute("UPDATE audit_chains SET count = 3, hash = ?", json.loads(line)["hash"])
    assert problems(url) == {"one": None}, "without a key and an anchor outside it looks whole"
    sealed = CliRunner().invoke(app, ["verify", url, "--seal", str(key)])
    assert "BAD" in sealed.output and "sealed" in sealed.output
    outside = CliRunner().invoke(app, ["verify", url, "--name", "one", "--anchor", str(anchor)])
    assert "the anchor has 6 records, and the log 3" in outside.output
    with pytest.raises(ConfigError, match="sealed"):
        open_log(seal=key)
    with pytest.raises(ConfigError, match="its anchor has 6 records"):
        open_log(anchor=anchor)


DAY = 86_400.0
MIDDAY = 1_763_812_800.0


def test_texts_have_their_keys_outside_the_database(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="audit_keys"):
        AuditSettings(database=url, text="full")
    now = [MIDDAY]
    settings = AuditSettings(database=url, name="one", text="full", keys=tmp_path / "keys", retention_days=2)
    log = AuditLog(settings, clock=lambda: now[0])
    for day in range(4):
        now[0] = MIDDAY + day * DAY
        log.record("answered", {"outputs": [Private(f"said on day {day}")]}).result(60)
    log.close()

    def texts(keys: Path | None) -> list[str]:
        found = shared_records(url, Filter(), folder=keys)
        return [record["outputs"][0]["text"] for record in found if record["kind"] == "answered"]

    assert texts(settings.keys) == [GONE, "said on day 1", "said on day 2", "said on day 3"]
    assert texts(None) == [ELSEWHERE] * 4
    destroy = ["destroy", url, "--before", "2025-11-24", "--name", "one", "--keys", str(settings.keys)]
    assert CliRunner().invoke(app, destroy).output == "destroyed: 2025-11-23\n"
    assert isinstance(CliRunner().invoke(app, destroy[:4]).exception, ConfigError)
    assert kinds(url).count("keys_destroyed") == 2
    assert problems(url) == {"one": None}


@pytest.mark.parametrize("limit", [1, 7, 500])
def test_a_search_goes_back_through_all_servers_logs(
    url: str, open_log: Callable[..., AuditLog], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = [open_log(name) for name in ("one", "two")]
    for number in range(20):
        logs[number % 2].record("answered", {"n": number, "endpoint": "/v1/edits"}).result(60)
    for log in logs:
        log.close()
    settings = AuditSettings(database=url)
    whole = list(shared_records(url, Filter()))[::-1]
    found, before = [], None
    while True:
        page = search(settings, Filter(), before=before, limit=limit)
        found += page.records
        before = page.before
        if before is None:
            break
    assert [(each["log"], each["seq"]) for each in found] == [(each["log"], each["seq"]) for each in whole]
    [one] = search(settings, Filter(endpoint="/v1/edits"), '"N":17,').records
    assert (one["log"], one["n"]) == ("two", 17)
    monkeypatch.setattr(search_module, "MOST_BYTES", 1000)
    short = search(settings, Filter(), '"n":0,')
    assert short.before is not None and short.records == []
    with pytest.raises(UserError):
        search(settings, Filter(), before="000001-17")


def test_a_server_takes_the_machines_name_unless_it_is_given_one(url: str) -> None:
    named = audit_settings(ServerConfig(audit=url, audit_name="rack3"))
    unnamed = audit_settings(ServerConfig(audit=url))
    in_files = audit_settings(ServerConfig(audit="/var/log/dovetail"))
    assert named is not None and unnamed is not None and in_files is not None
    assert (named.name, unnamed.name, in_files.name) == ("rack3", machine_name(), "audit")
    assert named.database == url and in_files.folder == Path("/var/log/dovetail")
