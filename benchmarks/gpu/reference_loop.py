"""The same shape by transformers, in the same run: one stream with a static cache, and its continuous batching."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import torch
from clock import seconds


def figures(
    values: dict[str, Any], device: torch.device, dtype: torch.dtype, batches: tuple[int, ...], new: int
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Tokens per second of greedy decoding, or why that was not measured."""
    if importlib.util.find_spec("transformers") is None:
        yield "not measured", lambda: "transformers is not installed"
        return
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**values)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    yield "one stream, static cache", lambda: _static(model, device, new)
    for count in batches if device.type == "cuda" else ():  # on a CPU it takes a minute to start
        yield f"continuous batching, {count}", lambda count=count: _continuous(model, device, count, new)  # type: ignore[misc]


def _static(model: Any, device: torch.device, new: int) -> float:
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
    return _rate(generate, device, 1, new, repeats)


def _continuous(model: Any, device: torch.device, streams: int, new: int) -> float:
    from transformers import GenerationConfig

    prompts = [list(range(50 + i, 82 + i + i % 7)) for i in range(streams)]

    def generate(count: int) -> None:
        config = GenerationConfig(max_new_tokens=count, do_sample=False, eos_token_id=-1, pad_token_id=0)
        answers = model.generate_batch(prompts, generation_config=config)
        assert len(answers) == streams, "transformers lost a request"

    return _rate(generate, device, streams, new, 1)


def _rate(generate: Any, device: torch.device, streams: int, new: int, repeats: int) -> float:
    long, short = seconds(lambda: generate(2 + new), device, repeats), seconds(lambda: generate(2), device, repeats)
    return streams * new / max(long - short, 1e-9)
