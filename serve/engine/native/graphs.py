"""Decoding steps as CUDA graphs: one per number of sequences and rows of each, captured at start, replayed with one call.

A step fits if every sequence brings one known token and a draft that is not too long. It is padded to the next captured size:
rows beyond a draft, and sequences beyond the batch, write to a block that nobody reads. Everything else runs eagerly. Knows
addresses and sizes; knows no sampling and no text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dovetail.kernels.ops import DeviceLengths, upload
from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.decoder import Decoder
from dovetail.serve.engine.native.sequence import Work

MAX_ROWS = 256
"""Rows of the largest graph: beyond, the arithmetic takes longer than the launches."""
_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_WIDTHS = (1, 2, 4, 8, 16)
_POOL_SHARE = 0.25
"""Of the memory that is free before the first capture, what all graphs may take."""

Replay = Callable[[], Tensor]
Capture = Callable[[Replay], Replay]
"""Turns a forward pass over fixed addresses into one that can be repeated."""


class GraphMemoryError(Exception):
    """The graphs have taken what they may take."""


@dataclass(frozen=True)
class GraphLimits:
    """``sequences`` at most ``max_num_seqs`` of one step; ``draft`` tokens at most for each; ``length`` of a context."""

    sequences: int
    draft: int
    length: int


def cuda_capture() -> Capture:
    """Captures into one memory pool, of which graphs of several sizes use the same addresses."""
    pool = torch.cuda.graph_pool_handle()
    allowed = int(torch.cuda.mem_get_info()[0] * _POOL_SHARE)
    before = torch.cuda.memory_reserved()

    def capture(run: Replay) -> Replay:
        if torch.cuda.memory_reserved() - before > allowed:
            raise GraphMemoryError
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # compiles kernels and makes handles, which cannot be done while capturing
            for _ in range(2):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits = run()

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay

    return capture


class DecodeGraphs:
    """The captured steps of one decoder and cache.

    Args:
        decoder: whose forward pass it is.
        cache: whose last block is nobody's.
        limits: of any step.
        capture: how a pass becomes repeatable.
    """

    def __init__(self, decoder: Decoder, cache: KVCache, limits: GraphLimits, capture: Capture) -> None:
        self._decoder, self._cache, self._length = decoder, cache, limits.length
        sizes = sorted({*(size for size in _SIZES if size < limits.sequences), min(limits.sequences, MAX_ROWS)})
        widest = min(limits.draft + 1, 64 * decoder.config.num_kv_heads // decoder.config.num_heads)
        self._widths = [width for width in _WIDTHS if width <= max(1, widest)]
        device, pinned = decoder.device, decoder.device.type == "cuda"
        blocks = -(-(limits.length + self._widths[-1]) // cache.block_size)
        self._scratch = cache.num_blocks - 1
        rows = max(size * width for size in sizes for width in self._widths if size * width <= MAX_ROWS)
        self._host = torch.zeros(3 * rows + sizes[-1], dtype=torch.int32, pin_memory=pinned)
        self._device_ints = torch.zeros(len(self._host), dtype=torch.int32, device=device)
        self._host_tables = torch.full((sizes[-1], blocks), self._scratch, dtype=torch.int32, pin_memory=pinned)
        self._tables = self._host_tables.to(device)
        self._known: list[list[int]] = [[] for _ in range(sizes[-1])]
        self._starts = {
            width: torch.arange(sizes[-1] + 1, dtype=torch.int32, device=device) * width for width in self._widths
        }
        self._replays: dict[tuple[int, int], Replay] = {}
        self._capture(sizes, capture)

    @property
    def captured(self) -> list[tuple[int, int]]:
        """Sequences and rows of each, of every graph there is."""
        return sorted(self._replays)

    def run(self, work: Sequence[Work]) -> Tensor | None:
        """Logits ``[R, vocab]`` of a step's rows, valid until the next step; None where no graph fits."""
        if any(share.count != 1 or not share.samples or share.forks for share in work):
            return None
        found = self._fitting(len(work), max(share.rows for share in work))
        if found is None:
            return None
        size, width = found
        self._fill(work, size, width)
        logits = self._replays[found]()
        if len(work) == size and all(share.rows == width for share in work):
            return logits
        if width == 1:
            return logits[: len(work)]
        wanted = [row for i, share in enumerate(work) for row in range(i * width, i * width + share.rows)]
        return logits[upload(wanted, torch.int64, logits.device)]

    def _fitting(self, sequences: int, width: int) -> tuple[int, int] | None:
        fitting = [key for key in self._replays if key[0] >= sequences and key[1] >= width]
        return min(fitting, key=lambda key: (key[0] * key[1], key[1]), default=None)

    def _capture(self, sizes: list[int], capture: Capture) -> None:
        """The largest first: the smaller ones then find room in the memory it took."""
        keys = [(size, width) for width in self._widths for size in sizes if size * width <= MAX_ROWS]
        for size, width in sorted(keys, key=lambda key: -key[0] * key[1]):
            self._fill((), size, width)
            batch = self._batch(size, width)
            try:
                self._replays[size, width] = capture(lambda batch=batch: self._forward(batch))  # type: ignore[misc]
            except GraphMemoryError:
                return

    @torch.inference_mode()
    def _forward(self, batch: RaggedBatch) -> Tensor:
        return self._decoder.forward(batch, self._cache)

    def _batch(self, size: int, width: int) -> RaggedBatch:
        rows = size * width
        tokens, positions, slots = (self._device_ints[i * rows : (i + 1) * rows] for i in range(3))
        contexts = self._device_ints[3 * rows : 3 * rows + size]
        return RaggedBatch(
            token_ids=tokens,
            positions=positions,
            slots=slots,
            query_starts=tuple(range(0, rows + 1, width)),
            context_lens=(self._length,) * size,
            block_tables=self._tables[:size],
            logit_rows=torch.arange(rows, device=self._decoder.device),
            lengths=DeviceLengths(self._starts[width][: size + 1], contexts, self._length),
        )

    def _fill(self, work: Sequence[Work], size: int, width: int) -> None:
        """Write a step's numbers to where the graph reads them: one copy, and one for each block table that has changed."""
        block, nowhere = self._cache.block_size, self._scratch * self._cache.block_size
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        contexts: list[int] = []
        for i, share in enumerate(work):
            sequence, spare = share.sequence, width - share.rows
            first, blocks = sequence.computed, sequence.table.blocks
            tokens += [sequence.tokens[first], *share.draft, *[0] * spare]
            positions += range(first, first + width)
            real = range(first, first + share.rows)
            slots += [blocks[p // block] * block + p % block for p in real] + [nowhere] * spare
            contexts.append(first + width)
            self._note_table(i, blocks)
        idle = size - len(work)
        tokens += [0] * (idle * width)
        positions += [0] * (idle * width)
        slots += [nowhere] * (idle * width)
        contexts += [width] * idle
        values = torch.tensor(tokens + positions + slots + contexts, dtype=torch.int32)
        self._host[: len(values)] = values
        self._device_ints[: len(values)].copy_(self._host[: len(values)], non_blocking=True)

    def _note_table(self, row: int, blocks: list[int]) -> None:
        known = self._known[row]
        if known == blocks:
            return
        end = max(len(known), len(blocks))
        line = self._host_tables[row]
        line[:end] = self._scratch
        line[: len(blocks)] = torch.tensor(blocks, dtype=torch.int32)
        self._tables[row, :end].copy_(line[:end], non_blocking=True)
        self._known[row] = list(blocks)
