"""The decoder's contract with its caller; what it computes is tested in test_families.py."""

from __future__ import annotations

from pathlib import Path

import torch

from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.loader import load_model


def batch_of(tokens: list[int], rows: list[int]) -> RaggedBatch:
    count = len(tokens)
    return RaggedBatch(
        token_ids=torch.tensor(tokens),
        positions=torch.arange(count),
        slots=torch.arange(4, 4 + count),
        query_starts=(0, count),
        context_lens=(count,),
        block_tables=torch.tensor([[1, 2, 3, 0]]),
        logit_rows=torch.tensor(rows, dtype=torch.int64),
    )


def test_only_the_wanted_rows_get_logits(tiny_directory: Path) -> None:
    model = load_model(tiny_directory)
    cache = KVCache.allocate(model.config, 4, 4)
    every = model.decoder.forward(batch_of([1, 2, 3, 4, 5], [0, 1, 2, 3, 4]), cache)
    some = model.decoder.forward(batch_of([1, 2, 3, 4, 5], [4, 1]), cache)
    assert every.shape == (5, 512)
    torch.testing.assert_close(some, every[[4, 1]])
    assert model.decoder.forward(batch_of([1, 2], []), cache).shape == (0, 512)


def test_logits_are_float32_and_may_be_masked_in_place(tiny_directory: Path) -> None:
    model = load_model(tiny_directory, dtype=torch.bfloat16)
    cache = KVCache.allocate(model.config, 4, 4, torch.bfloat16)
    logits = model.decoder.forward(batch_of([1, 2, 3], [2]), cache)
    assert logits.dtype == torch.float32
    assert not logits.requires_grad
    logits[:, 7] = float("-inf")


def test_in_inference_mode(tiny_directory: Path) -> None:
    model = load_model(tiny_directory)
    cache = KVCache.allocate(model.config, 4, 4)
    outside = model.decoder.forward(batch_of([1, 2, 3], [2]), cache)
    with torch.inference_mode():
        inside = model.decoder.forward(batch_of([1, 2, 3], [2]), cache)
    assert torch.equal(inside, outside)


def test_half_precision_is_close(tiny_directory: Path) -> None:
    wide, narrow = load_model(tiny_directory), load_model(tiny_directory, dtype=torch.bfloat16)
    logits = [
        model.decoder.forward(batch_of([1, 2, 3], [2]), KVCache.allocate(model.config, 4, 4, model.decoder.dtype))
        for model in (wide, narrow)
    ]
    assert float((logits[0] - logits[1]).abs().max()) < 0.5
