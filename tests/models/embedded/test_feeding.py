"""Batches from other processes come in an order that does not depend on them; presets keep to what the repository can hold."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest
import torch

from dovetail.models.embedded import snippets, tokenizer
from dovetail.models.embedded.feeding import fed
from dovetail.models.embedded.network import Network
from dovetail.models.embedded.presets import PRESETS
from dovetail.models.embedded.shape import Shape
from dovetail.models.embedded.sources import SourceFile
from dovetail.models.embedded.train import BatchSource, Plan


def test_batches_of_other_processes_come_in_turn(tmp_path: Path) -> None:
    rng = random.Random(1)
    words = tokenizer.train((snippets.make_file(rng) for _ in range(50)), vocabulary=600)
    texts = tuple(SourceFile("made", f"{n}.py", snippets.make_file(rng) * 3) for n in range(5))
    source = BatchSource(words, texts, Plan(out=tmp_path), 0)
    batches = fed(source, 1)
    try:
        for expected, found in zip(islice(source(1), 2), batches, strict=False):
            assert torch.equal(expected.ids, found.ids)
            assert torch.equal(expected.allowed, found.allowed)
    finally:
        batches.close()  # type: ignore[attr-defined]
    first = next(fed(source, 0))
    assert torch.equal(first.ids, next(source(0)).ids)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_weights_of_a_preset_fit_the_repository(name: str) -> None:
    preset = PRESETS[name]
    assert 2 * preset.shape.parameters < 64_000_000  # in bf16
    assert preset.shape.positions >= 65_536
    assert all(length >= 512 for _, length in preset.rows)


def test_parameters_are_counted_right() -> None:
    shape = Shape(vocabulary=600, width=32, layers=2, heads=2, kv_heads=1, head=16, hidden=48)
    assert sum(parameter.numel() for parameter in Network(shape).parameters()) == shape.parameters
