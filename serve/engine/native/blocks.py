"""Paged KV memory: fixed-size blocks, shared between sequences that begin alike. Knows tokens, not what is computed of them.

Paging is PagedAttention's (Kwon et al., 2023): a sequence's cache is a list of blocks that need not be neighbours. Reuse is
a tree of full blocks: a block is found by the block before it *and* its own tokens, compared token by token, so a hash
collision cannot serve one prompt with another's cache; the root is the tenant's salt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

Salt = str | None | tuple[str | None, ...]
"""What keeps prefixes apart that are equal token by token: a tenant, an adapter."""
ALONE: Salt = ("alone",)
"""Nothing is kept for reuse, and nothing reused."""

Key = tuple[int | Salt, tuple[int, ...]]
"""Where a full block hangs: the node of the block before it (for the first one the tenant's salt), and its tokens."""


class Arriving(Protocol):
    """Blocks on their way back from the second tier."""

    @property
    def keys(self) -> list[Key]: ...
    @property
    def nodes(self) -> list[int]: ...
    @property
    def blocks(self) -> list[int]: ...
    @property
    def ready(self) -> bool:
        """They are there, or ``lost``."""
        ...

    @property
    def lost(self) -> bool: ...
    @property
    def abandoned(self) -> bool: ...
    def wait(self, timeout_s: float) -> bool: ...


A = TypeVar("A", bound=Arriving)


class Tier(Protocol[A]):
    """Where blocks go that have to make room (serve/engine/native/tier.py)."""

    def node(self, key: Key) -> int | None: ...
    def keep(self, leaving: Sequence[Leaving]) -> None: ...
    def fetch(self, keys: list[Key]) -> A: ...
    def begin(self, loading: A, blocks: list[int]) -> None: ...
    def settle(self) -> list[A]: ...
    def abandon(self, loading: A) -> None: ...
    def forget(self, keys: Sequence[Key]) -> None: ...


class Leaving(NamedTuple):
    """A block that is about to be written again, and what it has been found by; ``salt``: whose it is."""

    key: Key
    node: int
    block: int
    salt: Salt


@dataclass
class BlockTable:
    """One sequence's blocks in order, and the tree nodes of its leading full ones.

    ``arriving``: some of its blocks are still on their way; nothing may be computed until they are there.
    """

    blocks: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    arriving: Arriving | None = None


class BlockPool:
    """Hands out block ids ``0 .. total-1``.

    A block is held by one or more tables, or idle (held by none, kept for reuse, given up least recently used first), or
    free. ``tier``: where idle blocks go that are given up, and come back from.
    """

    def __init__(self, total: int, block_size: int, tier: Tier[Any] | None = None) -> None:
        if total < 1 or block_size < 1:
            raise ValueError("a block pool needs at least one block of at least one token")
        self.total = total
        self.block_size = block_size
        self._free = list(range(total - 1, -1, -1))
        self._holders = [0] * total
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._found: dict[Key, tuple[int, int]] = {}
        self._keys: list[Key | None] = [None] * total
        self._salts: list[Salt] = [None] * total
        self._next_node = 0
        self._tier = tier
        self._leaving: list[Leaving] = []

    @property
    def free(self) -> int:
        """Blocks that can be taken now, idle ones included."""
        return len(self._free) + len(self._idle)

    @property
    def cached(self) -> int:
        """Blocks that a new sequence may reuse."""
        return len(self._found)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold ``tokens`` tokens."""
        return -(-tokens // self.block_size)

    def grow(self, table: BlockTable, tokens: int) -> bool:
        """Extend ``table`` so that it holds ``tokens`` tokens; False, with nothing taken, when too few are free."""
        missing = self.blocks_for(tokens) - len(table.blocks)
        if missing > self.free:
            return False
        for _ in range(missing):
            table.blocks.append(self._take())
        return True

    def _take(self) -> int:
        block = self._free.pop() if self._free else self._evict()
        self._holders[block] = 1
        return block

    def reuse(self, table: BlockTable, tokens: Sequence[int], salt: Salt) -> int:
        """Begin the empty ``table`` with the cached blocks of the longest known prefix; returns its length in tokens.

        At least one token is left to be computed. Blocks are taken only if the rest of ``tokens``, and one token more,
        fits beside them: returns -1 otherwise, with nothing taken.
        """
        assert not table.blocks
        known: list[tuple[int | None, int, Key]] = []
        parent: int | Salt = salt
        for start in range(0, (len(tokens) - 1) // self.block_size * self.block_size, self.block_size):
            key: Key = (parent, tuple(tokens[start : start + self.block_size]))
            hit: tuple[int | None, int] | None = self._found.get(key)
            if hit is None and self._tier is not None and (kept := self._tier.node(key)) is not None:
                hit = (None, kept)
            if hit is None:
                break
            known.append((*hit, key))
            parent = hit[1]
        here = [block for block, _, _ in known if block is not None]
        idle = sum(block in self._idle for block in here)
        if self.blocks_for(len(tokens) + 1) - len(here) > self.free - idle:
            return -1
        for block in here:
            self._idle.pop(block, None)
            self._holders[block] += 1
        for found, node, _ in known:
            table.blocks.append(self._take() if found is None else found)
            table.nodes.append(node)
        self._bring_back(table, known, salt)
        return len(known) * self.block_size

    def _bring_back(self, table: BlockTable, known: Sequence[tuple[int | None, int, Key]], salt: Salt) -> None:
        """Begin to load the blocks of ``table`` that are known but not here."""
        missing = [at for at, (block, _, _) in enumerate(known) if block is None]
        if not missing or self._tier is None:
            return
        # What was taken for them may be what others have to give up: that is saved before it is written.
        loading = self._tier.fetch([known[at][2] for at in missing])
        self.flush()
        blocks = [table.blocks[at] for at in missing]
        for block in blocks:
            self._salts[block] = salt
        self._tier.begin(loading, blocks)
        table.arriving = loading

    def settle(self) -> None:
        """Take in the blocks that have come back from the second tier: from now on anybody may reuse them."""
        for loading in self._tier.settle() if self._tier is not None else ():
            if loading.lost and self._tier is not None:
                self._tier.forget(loading.keys)
            if loading.lost or loading.abandoned:
                continue
            for key, node, block in zip(loading.keys, loading.nodes, loading.blocks, strict=True):
                if key not in self._found:
                    self._found[key] = (block, node)
                    self._keys[block] = key

    def flush(self) -> None:
        """Save the blocks that were given up since the last call; to be called before anything is computed."""
        if self._leaving and self._tier is not None:
            self._tier.keep(self._leaving)
        self._leaving.clear()

    def remember(self, table: BlockTable, tokens: Sequence[int], computed: int, salt: Salt) -> None:
        """Offer for reuse the blocks of ``table`` that are full of the first ``computed`` tokens."""
        if salt == ALONE:
            return
        for index in range(len(table.nodes), computed // self.block_size):
            parent = table.nodes[-1] if table.nodes else salt
            start = index * self.block_size
            key: Key = (parent, tuple(tokens[start : start + self.block_size]))
            hit = self._found.get(key)
            if hit is None:
                kept = self._tier.node(key) if self._tier is not None else None
                if kept is None:
                    kept = self._next_node
                    self._next_node += 1
                hit = self._found[key] = (table.blocks[index], kept)
                self._keys[table.blocks[index]] = key
                self._salts[table.blocks[index]] = salt
            table.nodes.append(hit[1])

    def rewind(self, table: BlockTable, computed: int) -> int:
        """Forget all but the first ``computed`` tokens; returns how many of them are still computed.

        A block that others may read is never written again: when the cut falls into one, it is given back and its tokens
        (fewer than a block) have to be computed once more.
        """
        full = computed // self.block_size
        if len(table.nodes) <= full:
            return computed
        self._give_back(table.blocks[full:])
        del table.blocks[full:], table.nodes[full:]
        return full * self.block_size

    def release(self, table: BlockTable) -> None:
        """Take back every block of ``table``, which is emptied."""
        if table.arriving is not None and self._tier is not None:
            self._tier.abandon(table.arriving)
        table.arriving = None
        self._give_back(table.blocks)
        table.blocks.clear()
        table.nodes.clear()

    def check(self, tables: Sequence[BlockTable]) -> None:
        """Assert that free blocks, idle ones and ``tables`` account for every block exactly once."""
        holders = [0] * self.total
        for table in tables:
            assert len(table.nodes) <= len(table.blocks), "a node without a block"
            for block in table.blocks:
                holders[block] += 1
        assert holders == self._holders, "a block's holders are miscounted"
        spare = sorted([*self._free, *self._idle])
        assert spare == [block for block in range(self.total) if not holders[block]], "a KV block is lost or held twice"
        assert all(self._keys[block] is not None for block in self._idle), "an idle block cannot be found"
        assert {key: hit[0] for key, hit in self._found.items()} == {
            key: block for block, key in enumerate(self._keys) if key is not None
        }, "the tree and the blocks disagree"

    def _give_back(self, blocks: Sequence[int]) -> None:
        # Last block first: of a chain, the end is given up before the beginning that others may share.
        for block in reversed(blocks):
            assert self._holders[block] > 0, f"block {block} was released twice"
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            if self._keys[block] is not None:
                self._idle[block] = None
            else:
                self._free.append(block)

    def _evict(self) -> int:
        block, _ = self._idle.popitem(last=False)
        key = self._keys[block]
        assert key is not None
        self._keys[block] = None
        _, node = self._found.pop(key)
        if self._tier is not None:
            self._leaving.append(Leaving(key, node, block, self._salts[block]))
        return block
