"""All device work of the native engine: from a step's work to the logits of its rows. Knows no sampling and no text."""

from __future__ import annotations

import logging
from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from dovetail.kernels.ops import is_gpu, upload
from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.decoder import Decoder
from dovetail.models.loader import LoadedModel
from dovetail.models.lora import AdaptedDecoder
from dovetail.models.pooling import without_head
from dovetail.serve.engine.native.fork import Run, forked
from dovetail.serve.engine.native.graphs import DecodeGraphs, GraphLimits, cuda_capture
from dovetail.serve.engine.native.sequence import Work


class Runner:
    """Owns the model and its paged KV cache.

    ``graphs``: sizes of the decoding steps to capture on a CUDA device; None: every step runs eagerly. ``narrow``: keys and values
    are stored in 8 bits.
    """

    def __init__(
        self,
        model: LoadedModel,
        num_blocks: int,
        block_size: int,
        graphs: GraphLimits | None = None,
        *,
        narrow: bool = False,
    ) -> None:
        self._decoder = model.decoder
        self._hidden: Decoder | None = None
        self._adapted: dict[bool, AdaptedDecoder] = {}
        self._block_size = block_size
        self._device = model.decoder.device
        cuda = self._device.type == "cuda"
        kind = torch.float8_e4m3fn if narrow else model.decoder.dtype
        # One block more on a GPU: what pads a captured step is written there.
        self.cache = KVCache.allocate(model.config, num_blocks + cuda, block_size, kind, self._device)
        if cuda:  # the rows that pad a captured step make its kernels read slots that nobody wrote
            for each in (*self.cache.keys, *self.cache.values):
                each.view(torch.uint8).zero_()
        self._graphs: DecodeGraphs | None = None
        if graphs is not None and cuda and is_gpu(self._device):
            self._graphs = self._captured(graphs)

    @property
    def captured(self) -> bool:
        """Whether there are captured steps."""
        return self._graphs is not None

    @property
    def branching_runs(self) -> int | None:
        """Sequences and branches of a step beyond which branches are not worth leaving the captured steps for; None: any number."""
        return None if self._graphs is None else self._graphs.branching_runs

    def _captured(self, limits: GraphLimits) -> DecodeGraphs | None:
        try:
            return DecodeGraphs(self._decoder, self.cache, limits, cuda_capture())
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # an operator that cannot be captured
            logging.getLogger(__name__).warning("CUDA graphs are off, steps run eagerly: %s", error)
            return None

    @torch.inference_mode()
    def forward(self, work: Seq[Work]) -> Tensor:
        """One forward pass over ``work``: float32 logits [R, vocab] where the model is; on a GPU they are still being computed.

        R counts, for every share that samples, one row for its last known token and one per draft token, in order. Shares
        that are pooled go through a pass of their own; their hidden states are added to what the sequence has.
        """
        pooled = [share for share in work if share.sequence.pool is not None]
        if pooled:
            self._pool(pooled)
            work = [share for share in work if share.sequence.pool is None]
        if not work:
            return torch.empty(0, 0)
        decoder = self._decoder_of(work, headless=False)
        if self._graphs is not None and decoder is self._decoder and all(s.count == 1 and s.samples for s in work):
            logits = self._graphs.run([run for share in work for run in self._runs(share)])
            if logits is not None:
                return logits
        return self._run(decoder, work)

    @torch.inference_mode()
    def forward_ahead(self, work: Seq[Work], tokens: Tensor) -> Tensor | None:
        """The step after ``work``, in which every sequence has one row: that of the token that was drawn for it just now.

        ``tokens``: those, ``[S]``, where the model is; the host need not know them yet, but their slots must be theirs. None: there
        is no captured step for it. The logits of ``work`` may be gone after this.
        """
        if self._graphs is None or any(share.sequence.adapter for share in work):
            return None
        return self._graphs.run([Run([0], share.last + 1, share.sequence.table.blocks) for share in work], tokens)

    def _pool(self, work: Seq[Work]) -> None:
        states = self._run(self._decoder_of(work, headless=True), work, every_row=True).cpu()
        for share, own in zip(work, torch.split(states, [share.count for share in work]), strict=True):
            assert share.sequence.pool is not None
            share.sequence.pool.add(share.sequence.computed, own)

    def _decoder_of(self, work: Seq[Work], *, headless: bool) -> Decoder:
        """The decoder without its head, or with adapters, is made when it is first needed; the weights are the same."""
        if headless and self._hidden is None:
            self._hidden = without_head(self._decoder)
        decoder = self._hidden if headless and self._hidden is not None else self._decoder
        if not any(share.sequence.adapter for share in work):
            return decoder
        if headless not in self._adapted:
            self._adapted[headless] = AdaptedDecoder(decoder)
        return self._adapted[headless].over([(share.rows, share.sequence.adapter) for share in work])

    def _run(self, decoder: Decoder, work: Seq[Work], *, every_row: bool = False) -> Tensor:
        """What ``decoder`` says of the rows that are sampled, or of every row."""
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        starts = [0]
        contexts: list[int] = []
        wanted: list[int] = []
        tables: list[list[int]] = []
        copies: list[tuple[int, int]] = []
        for share in work:
            if every_row:
                wanted += range(starts[-1], starts[-1] + share.rows)
            elif share.samples:
                wanted += range(starts[-1] + share.count - 1, starts[-1] + share.rows)
            for run in self._runs(share):
                end = run.first + len(run.tokens)
                tokens += run.tokens
                positions += range(run.first, end)
                slots += self._slots(run.blocks, run.first, end)
                starts.append(starts[-1] + len(run.tokens))
                contexts.append(end)
                tables.append(list(run.blocks))
                copies += run.copies
        width = max(len(each) for each in tables)
        tables = [each + [0] * (width - len(each)) for each in tables]
        batch = RaggedBatch(
            token_ids=self._tensor(tokens),
            positions=self._tensor(positions),
            slots=self._tensor(slots),
            query_starts=tuple(starts),
            context_lens=tuple(contexts),
            block_tables=self._tensor(tables),
            logit_rows=self._tensor(wanted),
            copies=(self._tensor([a for a, _ in copies]), self._tensor([b for _, b in copies])) if copies else None,
        )
        return decoder.forward(batch, self.cache).float()

    def _runs(self, share: Work) -> list[Run]:
        """The known tokens with the main draft, then what branches off."""
        sequence = share.sequence
        first, blocks = sequence.computed, sequence.table.blocks
        known = sequence.tokens[first : first + share.count]
        main = Run([*known, *share.draft[: share.main]], first, blocks)
        return [main, *forked(share.draft, share.forks, share.last, blocks, self._block_size)]

    def _slots(self, blocks: Seq[int], first: int, end: int) -> list[int]:
        size = self._block_size
        return [blocks[position // size] * size + position % size for position in range(first, end)]

    def _tensor(self, values: Seq[int] | Seq[Seq[int]]) -> Tensor:
        return upload(values, torch.long, self._device)
