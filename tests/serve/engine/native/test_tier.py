"""The second tier of the prefix cache: blocks that had to make room come back, from memory and from disk, or are computed again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from dovetail.models.batch import KVCache
from dovetail.serve.engine.native.loop import NativeEngine
from dovetail.serve.engine.native.tier import SecondTier
from dovetail.serve.engine.native.tier_disk import BlockLostError, DiskBlocks
from dovetail.serve.types import Request, SamplingParams

Run = Callable[[NativeEngine, Iterable[Request]], dict[str, Any]]
BLOCKS = 16
"""Of the cache: one conversation of 10 blocks, and not much else."""


def conversation(number: int, name: str, salt: str | None = None) -> Request:
    prompt = tuple((7 * i + 31 * number) % 400 + 3 for i in range(41))
    return Request(
        request_id=name, prompt=prompt, sampling=SamplingParams(max_tokens=4, temperature=0.0), cache_salt=salt
    )


def make_engine(tiny: Any, **sizes: Any) -> NativeEngine:
    one = SecondTier.block_bytes(KVCache.allocate(tiny.model.config, 1, 4))
    sizes = {key: value * one if key.endswith("_memory") else value for key, value in sizes.items()}
    engine: NativeEngine = tiny.engine(kv_blocks=BLOCKS, max_model_len=60, **sizes)
    return engine


def visit(engine: NativeEngine, run: Run, numbers: Iterable[int], salt: str | None = None) -> list[Any]:
    return [run(engine, [conversation(number, "r", salt)])["r"] for number in numbers]


def test_a_conversation_comes_back_from_memory(tiny: Any, run: Run) -> None:
    engine = make_engine(tiny, host_memory=64)
    first = visit(engine, run, [1, 2, 3])
    again = visit(engine, run, [1, 2, 3])
    assert [each.tokens for each in again] == [each.tokens for each in first]
    assert [each.finish.usage.cached_tokens for each in again] == [40] * len(again)
    assert engine._tier is not None and engine._tier.kept > 0 and engine._tier.returned > 0


def test_without_it_everything_is_computed_again(tiny: Any, run: Run) -> None:
    engine = make_engine(tiny)
    visit(engine, run, [1, 2, 3])
    assert visit(engine, run, [1])[0].finish.usage.cached_tokens < 40


def test_a_conversation_comes_back_from_disk(tiny: Any, run: Run, tmp_path: Path) -> None:
    engine = make_engine(tiny, host_memory=6, disk_folder=tmp_path, disk_memory=100)
    first = visit(engine, run, range(5))
    again = visit(engine, run, range(5))
    assert [each.tokens for each in again] == [each.tokens for each in first]
    assert [each.finish.usage.cached_tokens for each in again] == [40] * len(again)
    assert not list(tmp_path.iterdir()), "the file has a name"


def test_others_go_on_while_one_waits_for_the_disk(tiny: Any, run: Run, tmp_path: Path) -> None:
    engine = make_engine(tiny, host_memory=6, disk_folder=tmp_path, disk_memory=100)
    alone = visit(engine, run, range(4))
    results = run(engine, [conversation(number, str(number)) for number in range(4)])
    assert [results[str(number)].tokens for number in range(4)] == [each.tokens for each in alone]


def test_tenants_do_not_share_blocks(tiny: Any, run: Run) -> None:
    engine = make_engine(tiny, host_memory=64)
    visit(engine, run, [1, 2, 3], salt="a")
    assert visit(engine, run, [1], salt="b")[0].finish.usage.cached_tokens == 0
    assert visit(engine, run, [1], salt="a")[0].finish.usage.cached_tokens == 40


def test_what_was_changed_on_disk_is_computed_again(
    tiny: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(tiny, host_memory=6, disk_folder=tmp_path, disk_memory=100)
    first = visit(engine, run, range(5))
    whole = os.pread

    def changed(file: int, size: int, offset: int) -> bytes:
        return bytes([whole(file, size, offset)[0] ^ 1]) + whole(file, size, offset)[1:]

    monkeypatch.setattr(os, "pread", changed)
    assert [each.tokens for each in visit(engine, run, range(5))] == [each.tokens for each in first]


def test_cancelled_while_its_blocks_are_on_their_way(tiny: Any, run: Run, tmp_path: Path) -> None:
    engine = make_engine(tiny, host_memory=6, disk_folder=tmp_path, disk_memory=100)
    first = visit(engine, run, range(5))
    engine.add(conversation(0, "gone"))
    engine.step()
    engine.cancel("gone")
    engine.check()
    assert engine.stats().kv_blocks_free == BLOCKS
    assert visit(engine, run, [0])[0].tokens == first[0].tokens


def test_a_full_disk_costs_only_its_blocks(
    tiny: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(tiny, host_memory=6, disk_folder=tmp_path, disk_memory=8)

    def full(file: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    first = visit(engine, run, range(5))
    monkeypatch.setattr(os, "pwrite", full)
    assert [each.tokens for each in visit(engine, run, range(5))] == [each.tokens for each in first]


def test_blocks_on_disk_are_sealed(tmp_path: Path) -> None:
    disk = DiskBlocks(tmp_path, 64, 2)
    data = b"secret" * 10 + b"ends"
    nonce = disk.write(0, data, "tenant", 7).result()
    assert data[:6] not in os.pread(disk._file, 200, 0)
    assert disk.read(0, nonce, "tenant", 7).result() == data
    for salt, node in [("other", 7), (None, 7), ("tenant", 8)]:
        with pytest.raises(BlockLostError):
            disk.read(0, nonce, salt, node).result()
    disk.close()
