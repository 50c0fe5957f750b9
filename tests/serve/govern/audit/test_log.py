"""The log under trouble: killed, on a full disk, cut short, two writers, periods that end."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.cli import app
from dovetail.serve.govern.audit.log import AuditLog, AuditUnavailable, Private
from dovetail.serve.govern.audit.segment import Segment
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.show import GONE, Filter, records
from dovetail.serve.govern.audit.verify import verify

BUSY = """
import sys, threading
from pathlib import Path
from dovetail.serve.govern.audit.log import AuditLog, Private
from dovetail.serve.govern.audit.settings import AuditSettings
log = AuditLog(AuditSettings(folder=Path(sys.argv[1]), fsync=sys.argv[2], text="full"))
def write(number):
    while True:
        log.record("answered", {"who": {"id": str(number)}, "outputs": [Private("x" * 300)]}).result()
        print(number, flush=True)
for number in range(4):
    threading.Thread(target=write, args=(number,)).start()
"""


def kinds(settings: AuditSettings) -> list[str]:
    return [record["kind"] for record in records(settings, Filter())]


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_killed_under_load_the_chain_verifies_and_goes_on(tmp_path: Path, fsync: str) -> None:
    settings = AuditSettings(folder=tmp_path / "log", text="full")
    told = 0
    for turn in range(3):
        command = [sys.executable, "-c", BUSY, str(settings.folder), fsync]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as busy:
            assert busy.stdout is not None
            for _ in range(60 + 37 * turn):
                busy.stdout.readline()
            busy.send_signal(signal.SIGKILL)
            told += 60 + 37 * turn + len(busy.stdout.read().split())
        assert verify(settings).problem is None
        assert kinds(settings).count("answered") >= told, "what was said to be written is there"
        log = AuditLog(settings)
        assert not log.left_in_order
        log.record("start", {}).result(10)
        log.close()
        assert verify(settings).problem is None


def test_a_torn_line_is_taken_away_and_noted(tmp_path: Path) -> None:
    settings = AuditSettings(folder=tmp_path / "log")
    log = AuditLog(settings)
    log.record("answered", {"n": 1})
    log.close()
    anchor = settings.anchor_file
    anchor.write_text(anchor.read_text().replace('"closed":true,', ""))
    with settings.segments()[0].open("ab") as file:
        file.write(b'{"seq":2,"time":"20')
    assert any("is missing, as after a crash" in note for note in verify(settings).notes)
    log = AuditLog(settings)
    log.close()
    assert verify(settings).problem is None
    repaired = [record for record in records(settings, Filter()) if record["kind"] == "repaired"]
    assert repaired[0]["torn"]["bytes"] == 19


def test_a_log_cut_at_its_end_does_not_go_on(tmp_path: Path) -> None:
    settings = AuditSettings(folder=tmp_path / "log")
    log = AuditLog(settings)
    for number in range(5):
        log.record("answered", {"n": number})
    log.close()
    segment = settings.segments()[0]
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(ConfigError, match="not what was written"):
        AuditLog(settings)


def test_one_writer_a_log(tmp_path: Path) -> None:
    settings = AuditSettings(folder=tmp_path / "log")
    log = AuditLog(settings)
    with pytest.raises(ConfigError, match="--audit-name"):
        AuditLog(settings)
    other = AuditLog(AuditSettings(folder=tmp_path / "log", name="second"))
    other.close()
    log.close()


class FullDisk:
    """Writes half of a line, then none, while ``full``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        real = os.write

        def write(file: int, data: bytes) -> int:
            if not self.full:
                return real(file, data)
            if len(data) > 100:
                return real(file, data[:40])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("dovetail.serve.govern.audit.segment.os.write", write)


def wait_until_failing(log: AuditLog, failing: bool) -> None:
    while (log.counts.failing is not None) != failing:
        time.sleep(0.005)


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AuditSettings(folder=tmp_path / "log")
    log = AuditLog(settings)
    disk = FullDisk(monkeypatch)
    log.record("answered", {"n": 0}).result(10)
    log.require()
    disk.full = True
    waiting = [log.record("answered", {"n": number}) for number in (1, 2)]
    wait_until_failing(log, True)
    with pytest.raises(AuditUnavailable, match="No space left"):
        log.require()
    disk.full = False
    for each in waiting:
        each.result(10)
    wait_until_failing(log, False)
    log.require()
    log.close()
    assert verify(settings).problem is None
    assert [record.get("n") for record in records(settings, Filter())] == [0, 1, 2, None]


def test_a_full_disk_counts_and_says_how_many_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AuditSettings(folder=tmp_path / "log", full="count")
    log = AuditLog(settings)
    disk = FullDisk(monkeypatch)
    disk.full = True
    for _ in range(3):
        with pytest.raises(AuditUnavailable):
            log.record("answered", {}).result(10)
    log.require()
    assert log.counts.lost == 3
    disk.full = False
    log.record("answered", {}).result(10)
    log.close()
    assert verify(settings).problem is None
    assert [(record["kind"], record.get("records")) for record in records(settings, Filter())] == [
        ("lost", 3),
        ("answered", None),
        ("stop", None),
    ]


def test_a_file_limit_of_the_system_is_a_full_disk(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1][1]))
    try:
        segment = Segment(tmp_path / "s")
        segment.append(b"a" * 800 + b"\n")
        with pytest.raises(OSError, match="too large"):
            segment.append(b"b" * 800 + b"\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[1])
        signal.signal(signal.SIGXFSZ, before[0])
    segment.append(b"c\n")
    segment.close()
    assert (tmp_path / "s").read_bytes() == b"a" * 800 + b"\nc\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_dies_is_no_silence(tmp_path: Path) -> None:
    settings = AuditSettings(folder=tmp_path / "log")
    log = AuditLog(settings)

    def broken() -> str:
        raise SystemExit

    for entry in [log.record("answered", {"prompts": [Private(broken)]}), log.record("answered", {})]:
        with pytest.raises(AuditUnavailable):
            entry.result(10)
    with pytest.raises(AuditUnavailable, match="writer ended"):
        log.require()
    log.close()


DAY = 86_400.0
MIDDAY = 1_763_812_800.0


def test_after_the_retention_texts_are_gone_and_the_chain_verifies(tmp_path: Path) -> None:
    now = [MIDDAY]
    settings = AuditSettings(folder=tmp_path / "log", text="full", retention_days=2)
    log = AuditLog(settings, clock=lambda: now[0])
    for day in range(5):
        now[0] = MIDDAY + day * DAY
        log.record("answered", {"outputs": [Private(f"said on day {day}")]}).result(10)
    log.close()
    assert len(settings.segments()) == 5
    assert verify(settings).problem is None
    texts = [record["outputs"][0]["text"] for record in records(settings, Filter()) if record["kind"] == "answered"]
    assert texts == [GONE, GONE, "said on day 2", "said on day 3", "said on day 4"]
    written = b"".join(path.read_bytes() for path in settings.folder.rglob("*") if path.is_file())
    assert b"said on day" not in written
    destroyed = [record["periods"] for record in records(settings, Filter()) if record["kind"] == "keys_destroyed"]
    assert destroyed == [["2025-11-22"], ["2025-11-23"]]
    settings = dataclasses.replace(settings, retention_days=None)
    destroyed = CliRunner().invoke(app, ["destroy", str(settings.folder), "--before", "2025-11-26"])
    assert destroyed.output == "destroyed: 2025-11-24, 2025-11-25\n"
    assert verify(settings).problem is None
    kept = [record for record in records(settings, Filter(since="2025-11-26")) if record["kind"] == "answered"]
    assert [record["outputs"][0]["text"] for record in kept] == ["said on day 4"]


def test_keys_are_for_their_owner_only_and_texts_are_not_written_unasked(tmp_path: Path) -> None:
    full = AuditSettings(folder=tmp_path / "full", text="full")
    plain = AuditSettings(folder=tmp_path / "plain")
    for settings in (full, plain):
        log = AuditLog(settings)
        log.record("answered", {"outputs": [Private("hello")]}).result(10)
        log.close()
    assert [path.stat().st_mode & 0o777 for path in full.key_folder.rglob("*.key")] == [0o600]
    assert not plain.key_folder.exists()
    record = json.loads(plain.segments()[0].read_bytes().splitlines()[0])
    assert record["outputs"] == [{"digest": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}]
