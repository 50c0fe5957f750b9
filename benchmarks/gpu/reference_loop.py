"""One stream of the same shape by transformers with a static cache, in the same run: what a plain loop reaches here."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from clock import seconds


def tokens_per_s(values: dict[str, Any], device: torch.device, dtype: torch.dtype, new: int) -> dict[str, Any]:
    """Tokens per second of greedy decoding, or why that was not measured."""
    if importlib.util.find_spec("transformers") is None:
        return {"not measured": "transformers is not installed"}
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = {"Qwen2ForCausalLM": "qwen2", "Qwen3MoeForCausalLM": "qwen3_moe"}[values["architectures"][0]]
    config = AutoConfig.for_model(kind, **values)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    prompt = torch.arange(50, 82, device=device).unsqueeze(0)
    mask = torch.ones_like(prompt)

    def generate(count: int) -> None:
        with torch.inference_mode():
            model.generate(
                prompt,
                attention_mask=mask,
                max_new_tokens=count,
                min_new_tokens=count,
                do_sample=False,
                cache_implementation="static",
                pad_token_id=0,
            )

    repeats = 3 if device.type == "cuda" else 1
    long, short = seconds(lambda: generate(2 + new), device, repeats), seconds(lambda: generate(2), device, repeats)
    return {"tokens_per_s": new / max(long - short, 1e-9)}
