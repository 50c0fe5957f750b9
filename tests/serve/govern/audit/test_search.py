"""Searching a log from its end: every record once, in any pages, whatever the sizes."""

from __future__ import annotations

import os

import pytest

from dovetail.serve.errors import UserError
from dovetail.serve.govern.audit import search as module
from dovetail.serve.govern.audit.log import AuditLog, Private
from dovetail.serve.govern.audit.search import search
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.show import Filter, records

DAY = 86_400


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AuditSettings:
    """Two days of records of many lengths."""
    settings = AuditSettings(folder=tmp_path_factory.mktemp("audit") / "log", text="full", fsync="never")
    now = 1_700_000_000.0
    clock = [now]
    log = AuditLog(settings, clock=lambda: clock[0])
    for number in range(60):
        clock[0] = now + DAY * (number // 30)
        fields = {"who": {"id": f"k{number % 3}", "name": f"N{number % 3}"}, "endpoint": "/v1/edits", "n": number}
        log.record("answered", {**fields, "outputs": [Private("secret" * number)]}).result()
    log.close()
    return settings


@pytest.mark.parametrize("piece", [7, 100, 1000, 1 << 20])
@pytest.mark.parametrize("limit", [1, 7, 200])
def test_pages_hold_every_record_once(settings, monkeypatch, piece: int, limit: int) -> None:
    monkeypatch.setattr(module, "_PIECE", piece)
    expected = [record["seq"] for record in records(settings, Filter())][::-1]
    found, before = [], None
    while True:
        page = search(settings, Filter(), before=before, limit=limit)
        found += [record["seq"] for record in page.records]
        before = page.before
        if before is None:
            break
    assert found == expected


def test_filters_and_text(settings) -> None:
    assert {each["n"] % 3 for each in search(settings, Filter(who="N1")).records} == {1}
    [one] = search(settings, Filter(), '"N":17,').records
    assert one["n"] == 17
    assert "prev" not in one and "hash" not in one
    assert one["outputs"][0]["text"].startswith("(kept, encrypted")
    assert search(settings, Filter(), "no such text").records == []


def test_a_search_ends_after_so_many_bytes_and_goes_on(settings, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    page = search(settings, Filter(), '"n":0,')
    assert page.records == []
    rounds = 0
    while page.before is not None and not page.records:
        page = search(settings, Filter(), '"n":0,', before=page.before)
        rounds += 1
    assert page.records[0]["n"] == 0
    assert rounds > 2


def test_a_line_that_is_being_written_is_left_out(settings) -> None:
    last = settings.segments()[-1]
    before = search(settings, Filter()).records
    with last.open("ab") as file:
        file.write(b'{"seq":99,"kind":"answ')
    try:
        assert search(settings, Filter()).records == before
    finally:
        os.truncate(last, last.stat().st_size - 22)


def test_a_cursor_behind_the_end_is_the_end(settings) -> None:
    assert search(settings, Filter(), before="000002-" + "9" * 15).records == search(settings, Filter()).records


@pytest.mark.parametrize("before", ["", "x", "000001", "1-1", "000001--5"])
def test_a_cursor_from_elsewhere_is_refused(settings, before: str) -> None:
    with pytest.raises(UserError):
        search(settings, Filter(), before=before)
