"""Which program of the Triton attention takes which rows: lists of tiles, made once per forward pass. Knows no kernel.

Sequences with few new rows (decoding, drafts) are tiles of up to 64 rows whose keys may be split over several programs, a wide draft
more than one tile; prompt chunks are tiles of 128 rows that walk over their keys alone. Query heads that share a key head share a tile.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from dovetail.kernels.attention.batch import AttentionBatch
from dovetail.kernels.gpu import power_of_two, processors, upload

TILE = 64
"""Most rows of a tile whose keys may be split, query heads of one key head counted."""
FEW = 512
"""Rows of a sequence, counted like that, up to which it has few: more fill the processors without a split."""
MANY = 128
"""Rows of the tiles of a sequence that has many."""
KEYS = 64
"""Keys of a tile. Where a sequence is split, it is between tiles of keys counted from its beginning."""
SPLIT_KEYS = 512
"""Keys of a split that does not depend on the batch."""
MAX_SPLITS = 64


@dataclass(frozen=True)
class DeviceLengths:
    """The lengths of a batch on the device. int32 ``[S + 1]`` and ``[S]``; ``longest``: no context is longer."""

    query_starts: Tensor
    context_lens: Tensor
    longest: int


@dataclass(frozen=True)
class Tiles:
    """One launch. ``where``: int32 ``[count, 2]``: sequence, and first of its new rows; ``rows``: of a tile.

    ``splits``: programs that share a tile's keys; 1: none do.
    """

    where: Tensor
    queries: int
    rows: int
    splits: int


@dataclass
class DevicePlan:
    """The part of attention that is the same for every layer with the same window.

    ``new_rows``: new rows of each sequence, on the host. ``invariant``: a row's result is the same bits whatever shares its
    batch, however its prompt was cut into chunks.
    """

    lengths: DeviceLengths
    tables: Tensor
    new_rows: tuple[int, ...]
    window: int | None
    invariant: bool = False
    _tiles: dict[tuple[int, int], list[Tiles]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        batch: AttentionBatch,
        window: int | None,
        device: torch.device | str,
        *,
        lengths: DeviceLengths | None = None,
        invariant: bool = False,
    ) -> DevicePlan:
        """For a batch; ``lengths``: its lengths where they are on the device already."""
        starts, contexts = batch.query_starts, batch.context_lens
        new_rows = tuple(starts[s + 1] - starts[s] for s in range(len(contexts)))
        for sequence, (queries, context) in enumerate(zip(new_rows, contexts, strict=True)):
            if not 0 < queries <= context:
                raise ValueError(f"sequence {sequence} has {queries} new rows and a context of {context}")
        if lengths is None:
            lengths = DeviceLengths(
                upload(starts, torch.int32, device), upload(contexts, torch.int32, device), max(contexts, default=0)
            )
        return cls(lengths, batch.block_tables, new_rows, window, invariant)

    def tiles(self, heads: int, kv_heads: int) -> list[Tiles]:
        """The launches for so many heads; made at the first layer, kept for the others."""
        found = self._tiles.get((heads, kv_heads))
        if found is None:
            found = self._tiles[heads, kv_heads] = self._make(heads // kv_heads, kv_heads)
        return found

    def _make(self, group: int, kv_heads: int) -> list[Tiles]:
        device = self.tables.device
        few = [s for s, queries in enumerate(self.new_rows) if queries * group <= FEW]
        many = [s for s, queries in enumerate(self.new_rows) if queries * group > FEW]
        launches = []
        if few:
            widest = max(self.new_rows[s] for s in few) * group
            rows = max(TILE if self.invariant else max(16, min(TILE, power_of_two(widest))), power_of_two(group))
            where = self._tiles_of(few, rows // group)
            launches.append(Tiles(where, rows // group, rows, self._splits(len(where) * kv_heads)))
        if many:
            rows = max(TILE if self.invariant else MANY, power_of_two(group))
            step = rows // group
            cut = [(s, first) for s in many for first in range(0, self.new_rows[s], step)]
            # Tiles that see more keys take longer: they begin first.
            cut.sort(key=lambda tile: -tile[1])
            launches.append(Tiles(upload(cut, torch.int32, device), step, rows, 1))
        return launches

    def _tiles_of(self, few: list[int], step: int) -> Tensor:
        """Tiles of so many queries. Where all sequences are alike they are made on the device: what the host copies cannot be part
        of a CUDA graph."""
        device = self.tables.device
        if len(set(self.new_rows)) > 1:
            cut = [(s, first) for s in few for first in range(0, self.new_rows[s], step)]
            return upload(cut, torch.int32, device)
        each = -(-self.new_rows[0] // step)
        number = torch.arange(len(few) * each, dtype=torch.int32, device=device)
        return torch.stack((number // each, number % each * step), dim=1)

    def _splits(self, programs: int) -> int:
        span = self.lengths.longest if self.window is None else min(self.lengths.longest, self.window + TILE)
        if self.invariant:
            return max(1, -(-self.lengths.longest // SPLIT_KEYS))
        wanted = 2 * processors(self.tables.device) // programs
        return max(1, min(wanted, span // (2 * KEYS), MAX_SPLITS))
