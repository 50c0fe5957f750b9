"""Paged KV memory: fixed-size blocks, handed out and taken back. Knows nothing of what is stored in them.

The idea is PagedAttention's (Kwon et al., 2023): a sequence's cache is a list of blocks that need not be neighbours.
"""

from __future__ import annotations


class BlockPool:
    """Hands out block ids ``0 .. total-1``; each is either free or held by exactly one owner."""

    def __init__(self, total: int, block_size: int) -> None:
        if total < 1 or block_size < 1:
            raise ValueError("a block pool needs at least one block of at least one token")
        self.total = total
        self.block_size = block_size
        self._free = list(range(total - 1, -1, -1))
        self._held = bytearray(total)

    @property
    def free(self) -> int:
        """Blocks that can be taken now."""
        return len(self._free)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold ``tokens`` tokens."""
        return -(-tokens // self.block_size)

    def grow(self, table: list[int], tokens: int) -> bool:
        """Extend ``table`` so that it holds ``tokens`` tokens; False, with nothing taken, when too few are free."""
        missing = self.blocks_for(tokens) - len(table)
        if missing > len(self._free):
            return False
        for _ in range(missing):
            block = self._free.pop()
            self._held[block] = 1
            table.append(block)
        return True

    def release(self, table: list[int]) -> None:
        """Take back every block of ``table``, which is emptied."""
        for block in table:
            assert self._held[block], f"block {block} was released twice"
            self._held[block] = 0
        self._free.extend(reversed(table))
        table.clear()

    def check(self, tables: list[list[int]]) -> None:
        """Assert that free blocks and ``tables`` together account for every block exactly once."""
        seen = sorted([*self._free, *(block for table in tables for block in table)])
        assert seen == list(range(self.total)), "a KV block is lost or held twice"
