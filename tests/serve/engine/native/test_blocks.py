"""The block pool: every block is accounted for, and a reused prefix is the right one, whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from dovetail.serve.engine.native.blocks import BlockPool, BlockTable


class Owner:
    """A pretended sequence: what its cache must hold is written down beside it."""

    def __init__(self, tokens: list[int], salt: str | None) -> None:
        self.tokens = tokens
        self.salt = salt
        self.table = BlockTable()
        self.computed = 0


class Pool(RuleBasedStateMachine):
    """Random sequences over one pool. ``memory`` stands for the KV memory: which prefix each slot was computed for."""

    owners: Bundle[Owner] = Bundle("owners")

    @initialize(total=st.integers(4, 14), block_size=st.integers(1, 4))
    def begin(self, total: int, block_size: int) -> None:
        self.pool = BlockPool(total, block_size)
        self.alive: list[Owner] = []
        self.memory: dict[int, tuple[object, ...]] = {}

    @rule(target=owners, tokens=st.lists(st.integers(0, 1), min_size=1, max_size=16), salt=st.sampled_from([None, "a"]))
    def start(self, tokens: list[int], salt: str | None) -> Owner:
        owner = Owner(tokens, salt)
        cached = self.pool.reuse(owner.table, tokens, salt)
        if cached >= 0:
            assert cached < len(tokens)
            assert self.pool.free >= self.pool.blocks_for(len(tokens) + 1) - len(owner.table.blocks)
            owner.computed = cached
            self.alive.append(owner)
        return owner

    @rule(owner=owners, count=st.integers(1, 8), fresh=st.lists(st.integers(0, 1), max_size=3))
    def compute(self, owner: Owner, count: int, fresh: list[int]) -> None:
        if owner not in self.alive:
            return
        owner.tokens.extend(fresh)
        end = min(len(owner.tokens), owner.computed + count)
        if not self.pool.grow(owner.table, end):
            return
        for position in range(owner.computed, end):
            self.memory[self.slot(owner, position)] = (owner.salt, *owner.tokens[: position + 1])
        owner.computed = end
        self.pool.remember(owner.table, owner.tokens, owner.computed, owner.salt)

    @rule(owner=owners, keep=st.integers(1, 16))
    def rewind(self, owner: Owner, keep: int) -> None:
        if owner in self.alive and keep < len(owner.tokens):
            del owner.tokens[keep:]
            wanted = min(owner.computed, keep - 1)
            owner.computed = self.pool.rewind(owner.table, wanted)
            assert wanted - self.pool.block_size < owner.computed <= wanted

    @rule(owner=consumes(owners))
    def end(self, owner: Owner) -> None:
        if owner in self.alive:
            self.alive.remove(owner)
            self.pool.release(owner.table)

    def slot(self, owner: Owner, position: int) -> int:
        size = self.pool.block_size
        return owner.table.blocks[position // size] * size + position % size

    @invariant()
    def everything_is_in_its_place(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.pool.check([owner.table for owner in self.alive])
        for owner in self.alive:
            for position in range(owner.computed):
                held = self.memory[self.slot(owner, position)]
                assert held == (owner.salt, *owner.tokens[: position + 1]), "a sequence reads another's cache"


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_prefix_is_found_again_and_the_oldest_goes_first() -> None:
    pool = BlockPool(4, 2)
    first, second = BlockTable(), BlockTable()
    assert pool.grow(first, 4)
    pool.remember(first, [1, 2, 3, 4], 4, None)
    pool.release(first)
    assert pool.reuse(second, [1, 2, 3, 4], None) == 2, "one token must be left to compute"
    assert pool.reuse(BlockTable(), [1, 2, 3, 4], "other tenant") == 0
    pool.release(second)
    assert pool.cached == 2
    assert pool.grow(BlockTable(), 6)
    assert pool.cached == 1
    assert pool.reuse(BlockTable(), [1, 2, 9], None) == -1, "the rest does not fit"


def test_a_lost_block_is_noticed() -> None:
    pool = BlockPool(3, 4)
    table = BlockTable()
    assert pool.grow(table, 8)
    with pytest.raises(AssertionError):
        pool.check([BlockTable(table.blocks[:1])])


def test_a_pool_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        BlockPool(0, 16)
