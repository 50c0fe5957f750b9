"""Runs a decoder through a paged cache the way an engine would, with scattered blocks and NaN in unused slots."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.loader import LoadedModel


class PagedRunner:
    """Feeds chunks of sequences to one decoder. Blocks come from the cache in random order."""

    def __init__(self, model: LoadedModel, *, num_blocks: int = 64, block_size: int = 4, seed: int = 0) -> None:
        self.model = model
        self.cache = KVCache.allocate(model.config, num_blocks, block_size)
        for tensor in (*self.cache.keys, *self.cache.values):
            tensor.fill_(float("nan"))
        self._free = random.Random(seed).sample(range(num_blocks), num_blocks)
        self._tables: dict[int, list[int]] = {}
        self._lengths: dict[int, int] = {}

    def step(self, chunks: dict[int, Sequence[int]], wanted: Sequence[int] | None = None) -> dict[int, Tensor]:
        """New tokens of each sequence in; logits ``[len(chunk), vocab]`` of each out, or of the rows ``wanted`` under 0."""
        size = self.cache.block_size
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        starts = [0]
        for sequence, chunk in chunks.items():
            table, length = self._tables.setdefault(sequence, []), self._lengths.get(sequence, 0)
            for position in range(length, length + len(chunk)):
                if position // size == len(table):
                    table.append(self._free.pop())
                positions.append(position)
                slots.append(table[position // size] * size + position % size)
            tokens += chunk
            self._lengths[sequence] = length + len(chunk)
            starts.append(len(tokens))
        width = max(len(self._tables[s]) for s in chunks)
        batch = RaggedBatch(
            token_ids=torch.tensor(tokens),
            positions=torch.tensor(positions),
            slots=torch.tensor(slots),
            query_starts=tuple(starts),
            context_lens=tuple(self._lengths[s] for s in chunks),
            block_tables=torch.tensor([self._tables[s] + [0] * (width - len(self._tables[s])) for s in chunks]),
            logit_rows=torch.arange(len(tokens)) if wanted is None else torch.tensor(wanted, dtype=torch.int64),
        )
        logits = self.model.decoder.forward(batch, self.cache)
        if wanted is not None:
            return {0: logits}
        return {s: logits[starts[i] : starts[i + 1]] for i, s in enumerate(chunks)}

    def rewind(self, sequence: int, length: int) -> None:
        """Forget a sequence's tokens after the first ``length``; its blocks stay."""
        self._lengths[sequence] = length

    def share(self, source: int, target: int, length: int) -> None:
        """Let a new sequence begin with the first ``length`` tokens of another, whole blocks of it, as a prefix cache does."""
        blocks, rest = divmod(length, self.cache.block_size)
        assert not rest and target not in self._tables
        self._tables[target], self._lengths[target] = self._tables[source][:blocks], length


@pytest.fixture
def paged_runner() -> Callable[..., PagedRunner]:
    return PagedRunner


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2 checkpoint; tests that change it copy it first."""
    from tiny import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
