"""What a model takes, computed from its configuration, against what loading it takes; and the table in docs/models.md."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_checkpoint

from dovetail.models.batch import KVCache
from dovetail.models.config import ModelConfig
from dovetail.models.loader import load_model
from dovetail.models.memory import STORAGES, kv_bytes_per_token, parameters, read_per_token, weight_bytes

ROOT = Path(__file__).parent.parent.parent
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "mlp_only_layers": [0]}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"tie_word_embeddings": True},
    "qwen3-moe": {"config": EXPERTS},
    "starcoder2": {},
    "gpt-bigcode": {"tie_word_embeddings": True, "kv_heads": 1},
    "gpt-oss": {"config": {"num_local_experts": 4, "num_experts_per_tok": 1}},
}


@pytest.mark.parametrize("family", SHAPES)
def test_as_loaded(family: str, tmp_path: Path) -> None:
    directory = write_tiny_checkpoint(tmp_path, family, **SHAPES[family])
    config = ModelConfig.load(directory)
    for storage in STORAGES:
        quantize = storage if storage in ("int8", "int4") else None
        dtype = torch.bfloat16 if storage == "bfloat16" else torch.float32
        model = load_model(directory, dtype=dtype, quantize=quantize)
        assert weight_bytes(config, storage) == model.weight_bytes
        assert parameters(config) == model.parameters
    cache = KVCache.allocate(config, 3, 16)
    assert kv_bytes_per_token(config) * 3 * 16 == sum(each.nbytes for each in (*cache.keys, *cache.values))
    assert (read_per_token(config) < 1) == (config.experts is not None)


def test_the_table_in_the_documentation() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "model_memory.py"))
    table = script["table"]({name: script["figures"](config) for name, config in script["published"]().items()})
    assert table in (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
