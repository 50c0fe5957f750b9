"""Branches of drafts and their blocks: taken for one step, given back after it, but for those of the branch that came true."""

from __future__ import annotations

from dataclasses import replace

from dovetail.serve.constrain.base import Draft
from dovetail.serve.engine.native.blocks import BlockPool, BlockTable
from dovetail.serve.engine.native.fork import Fork
from dovetail.serve.engine.native.sequence import Work


def branched(share: Work, planned: Draft, pool: BlockPool, rows: int, blocks: int, most: int) -> Work:
    """``share`` with as many of its draft's branches, the first ``most``, as ``rows`` and ``blocks`` more are enough for."""
    branches, hoped = planned.branches, planned.hoped
    known = share.last
    shared = known // pool.block_size
    draft, depths = list(share.draft), list(range(1, len(share.draft) + 1))
    forks: list[Fork] = []
    for branch in branches[:most]:
        depth = depths[branch.behind] if branch.behind >= 0 else 0
        needed = pool.blocks_for(known + 1 + depth + len(branch.tokens)) - shared
        rows, blocks = rows - len(branch.tokens), blocks - needed
        table = BlockTable()
        if rows < 0 or blocks < 0 or not pool.grow(table, needed * pool.block_size):
            break
        forks.append(Fork(branch.behind, len(draft), len(draft) + len(branch.tokens), depth, table))
        draft += branch.tokens
        depths += range(depth + 1, depth + 1 + len(branch.tokens))
    if not forks:
        return share
    hoped = hoped * len(forks) / len(branches)
    return replace(share, draft=tuple(draft), forks=tuple(forks), hoped=hoped)


def settled(share: Work, last: int, pool: BlockPool) -> None:
    """After the step: the branch that holds the drafted token ``last`` is the sequence; the blocks of the others are free."""
    shared = share.last // pool.block_size
    for fork in share.forks:
        if fork.start <= last < fork.stop:
            blocks = share.sequence.table.blocks
            blocks[shared:], fork.table.blocks[:] = fork.table.blocks[:], blocks[shared:]
    for fork in share.forks:
        pool.release(fork.table)
