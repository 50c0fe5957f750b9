"""Decoding steps as CUDA graphs: one per number of runs and rows of each, captured at start, replayed with one call.

A step fits if every sequence brings one known token and a draft that is not too long. A branch of a draft is a run of its own, and
for steps with branches there are graphs that also copy what comes before them. A step is padded to the next captured size: rows
beyond a draft, and runs beyond the batch, write to a block that nobody reads. Everything else runs eagerly. Knows addresses and
sizes; knows no sampling and no text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dovetail.kernels.ops import DeviceLengths, upload
from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.decoder import Decoder
from dovetail.serve.engine.native.fork import Run

MAX_ROWS = 256
"""Rows of the largest graph: beyond, the arithmetic takes longer than the launches."""
_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_WIDTHS = (1, 2, 4, 8, 16)
BRANCHING_RUNS = 32
"""Runs of the largest graph with branches: where more sequences run, rows are dear."""
_COPIES = 16
"""Slots that may be copied for each run of a graph with branches, on average."""
_POOL_SHARE = 0.25
"""Of the memory that is free before the first capture, what all graphs may take."""

Replay = Callable[[], Tensor]
Capture = Callable[[Replay], Replay]
"""Turns a forward pass over fixed addresses into one that can be repeated."""


class GraphMemoryError(Exception):
    """The graphs have taken what they may take."""


class Size(NamedTuple):
    """Of a graph: runs, rows of each, and whether slots are copied."""

    runs: int
    width: int
    branches: bool = False

    @property
    def copies(self) -> int:
        """Slots that are copied."""
        return _COPIES * self.runs * self.branches


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
        cache: whose last block is nobody's; every slot holds numbers, for what pads a step is multiplied by nothing.
        limits: of any step.
        capture: how a pass becomes repeatable.
    """

    def __init__(self, decoder: Decoder, cache: KVCache, limits: GraphLimits, capture: Capture) -> None:
        self._decoder, self._cache, self._length = decoder, cache, limits.length
        widths = sorted({*(width for width in _WIDTHS if width <= limits.draft), limits.draft + 1})
        device = decoder.device
        blocks = -(-(limits.length + widths[-1]) // cache.block_size)
        self._scratch = cache.num_blocks - 1
        sizes = _sizes(min(limits.sequences, MAX_ROWS), widths)
        most = max(size.runs for size in sizes)
        room = max(3 * size.runs * size.width + size.runs + 2 * size.copies for size in sizes)
        self._ints = torch.zeros(room, dtype=torch.int32, device=device)
        self._tables = torch.full((most, blocks), self._scratch, dtype=torch.int32, device=device)
        self._known: list[list[int]] = [[] for _ in range(most)]
        self._starts = {width: torch.arange(most + 1, dtype=torch.int32, device=device) * width for width in widths}
        rows, outputs = max(size.runs * size.width for size in sizes), decoder.weights.head.shape[0]
        # One for all graphs: what a graph returned would be held for it alone.
        self._logits = torch.zeros((rows, outputs), dtype=torch.float32, device=device)
        self._replays: dict[Size, Replay] = {}
        self._capture(sizes, capture)

    @property
    def captured(self) -> list[Size]:
        """Of every graph there is."""
        return sorted(self._replays)

    @property
    def branching_runs(self) -> int:
        """Sequences and branches of the largest step with branches; 0: there is none."""
        return max((size.runs for size in self._replays if size.branches), default=0)

    def run(self, runs: Sequence[Run], tokens: Tensor | None = None) -> Tensor | None:
        """Logits ``[R, vocab]`` of all rows, valid until the next step; None where no graph fits.

        ``tokens``: of each run its one token, where the host does not know them yet.
        """
        copies = [copy for run in runs for copy in run.copies]
        found = self._fitting(len(runs), max(len(run.tokens) for run in runs), len(copies))
        if found is None:
            return None
        self._fill(runs, copies, found)
        if tokens is not None:
            self._ints[: len(runs) * found.width : found.width].copy_(tokens)
        logits = self._replays[found]()
        width = found.width
        if all(len(run.tokens) == width for run in runs):
            return logits[: len(runs) * width]
        wanted = [row for i, run in enumerate(runs) for row in range(i * width, i * width + len(run.tokens))]
        return logits[upload(wanted, torch.int64, logits.device)]

    def _fitting(self, runs: int, width: int, copies: int) -> Size | None:
        fitting = [
            size
            for size in self._replays
            if size.runs >= runs and size.width >= width and size.copies >= copies and size.branches == (copies > 0)
        ]
        return min(fitting, key=lambda size: (size.runs * size.width, size.width), default=None)

    def _capture(self, sizes: list[Size], capture: Capture) -> None:
        """The largest first: the smaller ones then find room in the memory it took."""
        for size in sorted(sizes, key=lambda size: -size.runs * size.width):
            self._fill((), (), size)
            batch = self._batch(size)
            try:
                self._replays[size] = capture(lambda batch=batch: self._forward(batch))  # type: ignore[misc]
            except GraphMemoryError:
                return

    @torch.inference_mode()
    def _forward(self, batch: RaggedBatch) -> Tensor:
        return self._logits[: len(batch.logit_rows)].copy_(self._decoder.forward(batch, self._cache))

    def _batch(self, size: Size) -> RaggedBatch:
        rows = size.runs * size.width
        tokens, positions, slots, contexts, sources, targets = torch.split(
            self._ints[: 3 * rows + size.runs + 2 * size.copies],
            [rows, rows, rows, size.runs, size.copies, size.copies],
        )
        return RaggedBatch(
            token_ids=tokens,
            positions=positions,
            slots=slots,
            query_starts=tuple(range(0, rows + 1, size.width)),
            context_lens=(self._length,) * size.runs,
            block_tables=self._tables[: size.runs],
            logit_rows=torch.arange(rows, device=self._decoder.device),
            copies=(sources, targets) if size.branches else None,
            lengths=DeviceLengths(self._starts[size.width][: size.runs + 1], contexts, self._length),
        )

    def _fill(self, runs: Sequence[Run], copies: Sequence[tuple[int, int]], size: Size) -> None:
        """Write a step's numbers to where the graph reads them: one copy, and one for each block table that has changed.

        Each from pinned memory of its own: the device may not have read those of the step before.
        """
        block, width, nowhere = self._cache.block_size, size.width, self._scratch * self._cache.block_size
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        contexts: list[int] = []
        for i, run in enumerate(runs):
            real, first, blocks = len(run.tokens), run.first, run.blocks
            spare = width - real
            tokens += [*run.tokens, *[0] * spare]
            positions += range(first, first + width)
            slots += [blocks[p // block] * block + p % block for p in range(first, first + real)] + [nowhere] * spare
            contexts.append(first + width)
            self._note_table(i, blocks)
        idle, unused = size.runs - len(runs), [nowhere] * (size.copies - len(copies))
        tokens += [0] * (idle * width)
        positions += [0] * (idle * width)
        slots += [nowhere] * (idle * width)
        contexts += [width] * idle
        sources, targets = ([*(copy[side] for copy in copies), *unused] for side in (0, 1))
        values = upload(tokens + positions + slots + contexts + sources + targets, torch.int32, self._ints.device)
        self._ints[: len(values)].copy_(values)

    def _note_table(self, row: int, blocks: Sequence[int]) -> None:
        known = self._known[row]
        if known == blocks:
            return
        line = [*blocks, *[self._scratch] * (len(known) - len(blocks))]
        self._tables[row, : len(line)].copy_(upload(line, torch.int32, self._tables.device))
        self._known[row] = list(blocks)


def _sizes(sequences: int, widths: list[int]) -> list[Size]:
    counts = sorted({*(count for count in _SIZES if count < sequences), sequences})
    branching = [count for count in _SIZES if 1 < count <= BRANCHING_RUNS]
    plain = [Size(count, width) for width in widths for count in counts]
    wide = [Size(count, width, True) for width in widths for count in branching] if widths[-1] > 1 else []
    return [size for size in (*plain, *wide) if size.runs * size.width <= MAX_ROWS]
