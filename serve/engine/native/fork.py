"""A draft that branches: one step's rows as several runs of tokens, each of which sees its own past only.

A branch is a fork of the sequence for one step. It shares the sequence's full blocks; from the block of the last known token
on it has blocks of its own, into which every layer copies what comes before the branch. So a row's context lies in order, as
it would without branches, and no attention has to know of them. After the step one of them is the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dovetail.serve.engine.native.blocks import BlockTable


@dataclass(frozen=True)
class Fork:
    """Drafted tokens ``start`` to ``stop`` of a share come behind its drafted token ``behind`` (-1: the last known one), and
    ``depth`` drafted tokens are before them. ``table``: their own blocks."""

    behind: int
    start: int
    stop: int
    depth: int
    table: BlockTable


class Run(NamedTuple):
    """Tokens that attention takes for one sequence's last ones, at consecutive positions from ``first`` on.

    ``copies``: slots to copy from and to once a layer has written its keys and values.
    """

    tokens: Sequence[int]
    first: int
    blocks: Sequence[int]
    copies: Sequence[tuple[int, int]] = ()


def parents(main: int, forks: Sequence[Fork]) -> list[int]:
    """What every drafted token comes behind, ``main`` of them in a row at first; -1: the last known token."""
    found = list(range(-1, main - 1))
    for fork in forks:
        found += [fork.behind, *range(fork.start, fork.stop - 1)]
    return found


def forked(
    draft: Sequence[int], forks: Sequence[Fork], known: int, blocks: Sequence[int], block_size: int
) -> list[Run]:
    """The runs of the forks.

    Args:
        draft: the drafted tokens of all branches.
        forks: the branches.
        known: the position of the last known token.
        blocks: the sequence's own, which hold the main draft too.
        block_size: slots of each.
    """
    shared = known // block_size
    behind = parents(forks[0].start if forks else len(draft), forks)
    runs = []
    for fork in forks:
        own = [*blocks[:shared], *fork.table.blocks]
        copies, node = [], fork.behind
        for position in range(known + fork.depth, shared * block_size - 1, -1):
            owner = _owner(node, forks) if position > known else None
            held = blocks if owner is None else [*blocks[:shared], *owner.table.blocks]
            copies.append((_slot(held, position, block_size), _slot(own, position, block_size)))
            node = behind[node] if position > known else node
        runs.append(Run(draft[fork.start : fork.stop], known + 1 + fork.depth, own, copies))
    return runs


def _owner(node: int, forks: Sequence[Fork]) -> Fork | None:
    return next((fork for fork in forks if fork.start <= node < fork.stop), None)


def _slot(blocks: Sequence[int], position: int, block_size: int) -> int:
    return blocks[position // block_size] * block_size + position % block_size
