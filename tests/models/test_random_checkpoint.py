from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import write_tiny_checkpoint

from dovetail.models.families import FAMILIES
from dovetail.models.loader import load_model
from dovetail.models.random_checkpoint import write_random_checkpoint

EXPERTS = {
    "qwen3-moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "gpt-oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


@pytest.mark.parametrize("family", [family.name for family in FAMILIES.values()])
def test_every_family_loads_and_spreads_its_logits(family: str, tmp_path: Path) -> None:
    model = load_model(write_random_checkpoint(tmp_path, family=family, config=EXPERTS.get(family, {})))
    assert model.config.family.name == family
    head = load_file(tmp_path / "model.safetensors")["lm_head.weight"]
    assert 2.5 < float(head.norm(dim=1).mean()) < 3.5


def test_the_seed_decides(tmp_path: Path) -> None:
    directories = [write_random_checkpoint(tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2))]
    first, same, other = (load_file(directory / "model.safetensors")["lm_head.weight"] for directory in directories)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_it_is_fast(tmp_path: Path) -> None:
    started = time.perf_counter()
    write_tiny_checkpoint(tmp_path)
    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(
    ("shape", "says"),
    [({"family": "gpt2"}, "unknown family 'gpt2'"), ({"vocab_size": 261}, "vocab_size 261 is below 262")],
)
def test_refusals(tmp_path: Path, shape: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        write_random_checkpoint(tmp_path, **shape)
