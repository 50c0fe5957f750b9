"""vLLM's engine arguments: what this server decides, and what an operator passes on, checked against the installed version."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from dovetail.serve.errors import ModelError

MAX_LOGPROBS = 128
"""The most alternatives that are ever asked for: to find one that a constraint takes."""
LORA_RANKS = (16, 32, 64, 128, 256, 320, 512)
"""The widest adapter that vLLM is told to expect is one of these."""

OWN: Mapping[str, str] = {
    "model": "the model directory",
    "tokenizer": "the model directory",
    "served_model_name": "--model-name",
    "dtype": "--dtype",
    "max_model_len": "--max-model-len",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-batched-tokens",
    "tensor_parallel_size": "--tensor-parallel-size",
    "pipeline_parallel_size": "--pipeline-parallel-size",
    "data_parallel_size": "--data-parallel-size",
    "enable_lora": "--lora or --lora-folder",
    "skip_tokenizer_init": "Dovetail, whose own tokenizer is used",
    "generation_config": "Dovetail, which reads generation_config.json itself",
    "scheduling_policy": "Dovetail, whose requests have priorities",
    "logprobs_mode": "Dovetail, whose log probabilities are those of the raw distribution",
    "enable_log_requests": "Dovetail: prompts are not logged",
    "disable_log_stats": "Dovetail, whose metrics need them",
    "runner": "Dovetail: this engine generates",
    "stream_interval": "Dovetail, whose constraints want every token at once",
}
"""Arguments that are not passed on, and what decides them."""
REFUSED: Mapping[str, str] = {
    "trust_remote_code": "no code of a model directory is ever run",
    "hf_token": "nothing is downloaded",
    "download_dir": "nothing is downloaded",
}


class VllmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment decides of this engine. ``extra``: more of vLLM's engine arguments, as they were written."""

    model: str
    dtype: str
    max_model_len: int
    max_num_seqs: int
    max_batched_tokens: int
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    adapters: bool = False
    adapter_rank: int = 16
    extra: tuple[str, ...] = ()


def engine_arguments(settings: VllmSettings, known: Collection[str]) -> dict[str, Any]:
    """Keyword arguments of AsyncEngineArgs. ``known``: all that the installed version has. Raises ModelError."""
    own: dict[str, Any] = {
        "model": settings.model,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_batched_tokens,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "pipeline_parallel_size": settings.pipeline_parallel_size,
        "data_parallel_size": settings.data_parallel_size,
        "scheduling_policy": "priority",
        "enable_prefix_caching": True,
        "max_logprobs": MAX_LOGPROBS,
        "logprobs_mode": "raw_logprobs",
        "enable_log_requests": False,
        "disable_log_stats": False,
    }
    if settings.adapters:
        own |= {"enable_lora": True, "max_lora_rank": settings.adapter_rank}
    missing = sorted(own.keys() - set(known))
    if missing:
        raise ModelError(f"the installed vLLM has no engine argument {', '.join(missing)}, which Dovetail needs")
    return own | extra_arguments(settings.extra, known)


def extra_arguments(written: Sequence[str], known: Collection[str]) -> dict[str, Any]:
    """``name=value`` each; values are JSON, or else text. Raises ModelError where a name is unknown or not to be had."""
    found: dict[str, Any] = {}
    for each in written:
        name, _, text = each.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if name in REFUSED:
            raise ModelError(f"--engine-arg {name} is not to be had: {REFUSED[name]}")
        if name in OWN:
            raise ModelError(f"--engine-arg {name} is decided by {OWN[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=3)
            hint = f"; near: {', '.join(near)}" if near else ""
            raise ModelError(f"--engine-arg {name}: the installed vLLM has no such engine argument{hint}")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
