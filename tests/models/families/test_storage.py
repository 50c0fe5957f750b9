"""Families whose layers differ from the plain ones, in fewer bits and in half precision (as a GPU computes): near to float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_checkpoint

from dovetail.models.loader import load_model

FAMILIES: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window": 5, "query_pre_attn_scalar": 16},
    "gemma3": {"sliding_window": 5},
    "gpt-oss": {"num_local_experts": 4, "num_experts_per_tok": 3, "sliding_window": 5},
    "qwen3-moe": {"num_experts": 4, "num_experts_per_tok": 3, "moe_intermediate_size": 32},
    "starcoder2": {},
    "gpt-bigcode": {},
    "granite": {"residual_multiplier": 0.5, "logits_scaling": 2.0},
    "phi3": {"partial_rotary_factor": 0.5},
}
TOKENS = [(7 * i) % 500 for i in range(40)]


@pytest.mark.parametrize("family", FAMILIES)
def test_near_to_float32(family: str, tmp_path: Path, paged_runner: Callable[..., Any]) -> None:
    directory = write_tiny_checkpoint(
        tmp_path, family, kv_heads=1 if family == "gpt-bigcode" else 2, config=FAMILIES[family]
    )
    exact = paged_runner(load_model(directory)).step({0: TOKENS})[0]
    for least, options in (
        (0.999, {"dtype": torch.bfloat16}),
        (0.99, {"quantize": "int8"}),
        (0.9, {"quantize": "int4"}),
    ):
        found = paged_runner(load_model(directory, **options)).step({0: TOKENS})[0]
        assert torch.nn.functional.cosine_similarity(found, exact).mean() > least, options
    half = paged_runner(load_model(directory, dtype=torch.float16))
    found = torch.cat([half.step({0: TOKENS[:36]})[0], half.step({0: TOKENS[36:]})[0]])
    assert torch.nn.functional.cosine_similarity(found, exact).mean() > 0.999
