"""Stored objects: kept, replaced, listed in order, gone when deleted; in a file they outlive the process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dovetail.serve.api.store.local import LocalRecords
from dovetail.serve.errors import EngineError


def test_records_are_kept_by_kind_and_id():
    records = LocalRecords()
    records.put("a", "1", {"x": 1})
    records.put("a", "2", {"x": 2})
    records.put("b", "1", {"x": 3})
    records.put("a", "1", {"x": 4})
    assert records.get("a", "1") == {"x": 4}
    assert records.get("a", "3") is None
    assert records.of_kind("a") == [{"x": 4}, {"x": 2}], "what is replaced keeps its place"
    assert records.delete("a", "1")
    assert not records.delete("a", "1")
    assert records.of_kind("a") == [{"x": 2}]


def test_a_file_outlives_its_process(tmp_path: Path):
    records = LocalRecords(tmp_path / "store.db")
    records.put("a", "1", {"x": "é"})
    records.close()
    assert LocalRecords(tmp_path / "store.db").get("a", "1") == {"x": "é"}


async def test_what_is_on_its_way_into_a_file_is_there_already(tmp_path: Path):
    records, elsewhere = LocalRecords(tmp_path / "store.db"), LocalRecords(tmp_path / "store.db")
    for number in range(200):
        records.put("a", str(number % 50), {"n": number})
        assert records.get("a", str(number % 50)) == {"n": number}
    records.put("b", "1", {})
    records.delete("a", "49")
    assert records.get("a", "49") is None
    records.delete_kind("b")
    assert records.get("b", "1") is None
    records.put("b", "2", {"x": 1})
    await records.written()
    assert [record["n"] for record in elsewhere.of_kind("a")] == list(range(150, 199))
    assert elsewhere.of_kind("b") == [{"x": 1}]


async def test_a_file_that_takes_no_more_is_told_to_who_waits_for_it(tmp_path: Path):
    records, other = LocalRecords(tmp_path / "store.db"), sqlite3.connect(tmp_path / "store.db")
    other.execute("DROP TABLE records")
    records.put("a", "1", {"x": 1})
    with pytest.raises(EngineError, match="could not be stored"):
        await records.written()
    other.close()


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path):
    with pytest.raises(EngineError, match="nowhere"):
        LocalRecords(tmp_path / "nowhere" / "store.db")


def test_in_memory_the_oldest_make_room():
    records = LocalRecords(most_characters=1000)
    for number in range(100):
        records.put("a", str(number), {"n": number, "text": "x" * 80})
    kept = [record["n"] for record in records.of_kind("a")]
    assert kept == list(range(kept[0], 100))
    assert 5 < len(kept) < 12
    records.put("a", "large", {"text": "x" * 5000})
    assert records.get("a", "large") is not None, "the newest stays"


def test_what_cannot_be_kept_is_said():
    records = LocalRecords()
    records.close()
    with pytest.raises(EngineError, match="could not be stored"):
        records.put("kind", "id", {})
