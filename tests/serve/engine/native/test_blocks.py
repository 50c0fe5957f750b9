"""The block pool: every block is free or held once, whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.engine.native.blocks import BlockPool


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 90)), max_size=60), st.integers(1, 12), st.integers(1, 9))
def test_every_block_is_accounted_for(operations: list[tuple[int, int]], total: int, block_size: int) -> None:
    pool = BlockPool(total, block_size)
    tables: list[list[int]] = [[] for _ in range(5)]
    for owner, tokens in operations:
        if tokens == 0:
            pool.release(tables[owner])
        else:
            before = list(tables[owner])
            grown = pool.grow(tables[owner], tokens)
            assert tables[owner][: len(before)] == before
            assert grown == (len(tables[owner]) * block_size >= tokens)
            assert grown or tables[owner] == before
        pool.check(tables)


def test_a_lost_block_is_noticed() -> None:
    pool = BlockPool(3, 4)
    table: list[int] = []
    assert pool.grow(table, 8)
    with pytest.raises(AssertionError):
        pool.check([table[:1]])


def test_a_pool_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        BlockPool(0, 16)
