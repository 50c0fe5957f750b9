"""A package that looks like vLLM to serve/engine/vllm/versions.py: a small model made of random numbers behind AsyncLLM's own seams."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import math
import sys
import types
from collections.abc import AsyncGenerator, Callable, Sequence
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import numpy as np

Logits = Callable[[Sequence[int]], np.ndarray[Any, Any]]
"""What the model says of the next token, given all tokens so far."""


class EngineDeadError(Exception):
    pass


class EngineGenerateError(Exception):
    pass


class VLLMClientError(Exception):
    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class GracefulHTTPError(Exception):
    def __init__(self, message: str, http_status: HTTPStatus) -> None:
        super().__init__(message)
        self.http_status = http_status


class GenerationError(Exception):
    status_code = HTTPStatus.INTERNAL_SERVER_ERROR


class RequestOutputKind(enum.Enum):
    DELTA = 1


@dataclasses.dataclass
class SamplingParams:
    """The fields that are used, under the names that vLLM has for them; any other name is a TypeError."""

    output_kind: RequestOutputKind
    max_tokens: int
    min_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int | None
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    logit_bias: dict[int, float] | None
    stop_token_ids: list[int]
    ignore_eos: bool
    logprobs: int | None
    detokenize: bool
    allowed_token_ids: list[int] | None = None

    def __post_init__(self) -> None:
        if self.temperature > 2:
            raise VLLMClientError("temperature must be in [0, 2]", "temperature")
        assert self.allowed_token_ids is None or self.allowed_token_ids
        assert self.max_tokens >= 1 and self.min_tokens <= self.max_tokens


@dataclasses.dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclasses.dataclass
class AsyncEngineArgs:
    model: str = ""
    skip_tokenizer_init: bool = False
    generation_config: str = "auto"
    dtype: str = "auto"
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    scheduling_policy: str = "fcfs"
    enable_prefix_caching: bool | None = None
    enable_chunked_prefill: bool | None = None
    max_logprobs: int = 20
    logprobs_mode: str = "raw_logprobs"
    enable_log_requests: bool = False
    disable_log_stats: bool = False
    enable_lora: bool = False
    max_lora_rank: int = 16
    enforce_eager: bool = False
    speculative_config: dict[str, Any] | None = None
    gpu_memory_utilization: float = 0.9


class StatLoggerBase:
    pass


class AsyncLLM:
    """Generates one token at a time with ``logits``; remembers what it was asked."""

    logits: Logits
    last: AsyncLLM
    block = 16

    def __init__(self, args: AsyncEngineArgs, stat_loggers: list[Any]) -> None:
        if args.model.endswith("broken"):
            raise ValueError("the weights are damaged")
        asyncio.get_running_loop()
        self.args = args
        self.vllm_config = SimpleNamespace(
            cache_config=SimpleNamespace(num_gpu_blocks=100), model_config=SimpleNamespace(dtype="torch.bfloat16")
        )
        self.loggers = [make(self.vllm_config, 0) for make in stat_loggers]
        self.asks: list[SimpleNamespace] = []
        self.aborted: list[str] = []
        self.adapters: list[LoRARequest] = []
        self.cached: set[tuple[Any, ...]] = set()
        self.dead = self.shut_down = False
        self.turns_away: Exception | None = None
        type(self).last = self

    @classmethod
    def from_engine_args(cls, engine_args: AsyncEngineArgs, stat_loggers: list[Any]) -> AsyncLLM:
        return cls(engine_args, stat_loggers)

    async def generate(
        self,
        prompt: dict[str, Any],
        sampling_params: SamplingParams,
        request_id: str,
        *,
        lora_request: LoRARequest | None = None,
        priority: int = 0,
    ) -> AsyncGenerator[SimpleNamespace, None]:
        ids = list(prompt["prompt_token_ids"])
        assert request_id not in {ask.id for ask in self.asks}
        self.asks.append(
            SimpleNamespace(id=request_id, prompt=ids, sampling=sampling_params, lora=lora_request, priority=priority)
        )
        key = (prompt.get("cache_salt"), lora_request.lora_name if lora_request else None)
        hit = self._cached(ids, key)
        done = False
        if self.turns_away is not None:
            raise self.turns_away
        try:
            generator = np.random.default_rng(sampling_params.seed)
            for made in range(sampling_params.max_tokens):
                await asyncio.sleep(0)
                if self.dead:
                    raise EngineDeadError("EngineCore encountered an issue.")
                self._record(1)
                raw = self.logits(ids)
                token = self._sample(raw, sampling_params, made, generator)
                ids.append(token)
                stopped = token in sampling_params.stop_token_ids
                done = stopped or made + 1 == sampling_params.max_tokens
                reason = "stop" if stopped else "length" if done else None
                told = _logprobs(raw, token, sampling_params.logprobs)
                completion = SimpleNamespace(token_ids=[token], logprobs=[told] if told else None, finish_reason=reason)
                yield SimpleNamespace(outputs=[completion], num_cached_tokens=hit, finished=done)
                if done:
                    return
        finally:
            self._record(0)
            if not done:
                self.aborted.append(request_id)

    def _cached(self, ids: Sequence[int], key: tuple[Any, ...]) -> int:
        blocks = [(*key, *ids[:end]) for end in range(self.block, len(ids), self.block)]
        hit = 0
        for block in blocks:
            if block not in self.cached:
                break
            hit += self.block
        self.cached.update(blocks)
        return hit

    def _record(self, running: int) -> None:
        stats = SimpleNamespace(
            num_running_reqs=running, num_waiting_reqs=2, kv_cache_usage=0.25, spec_decoding_stats=None
        )
        for logger in self.loggers:
            logger.record(stats, SimpleNamespace(num_preempted_reqs=0), engine_idx=0)

    def _sample(
        self, raw: np.ndarray[Any, Any], params: SamplingParams, made: int, generator: np.random.Generator
    ) -> int:
        scores = raw.astype(np.float64)
        for token, bias in (params.logit_bias or {}).items():
            scores[token] += bias
        if made < params.min_tokens:
            scores[params.stop_token_ids] = -math.inf
        if params.allowed_token_ids is not None:
            kept = np.full_like(scores, -math.inf)
            kept[params.allowed_token_ids] = scores[params.allowed_token_ids]
            scores = kept
        if params.temperature == 0:
            return int(scores.argmax())
        return int((scores / params.temperature + generator.gumbel(size=len(scores))).argmax())

    async def add_lora(self, lora_request: LoRARequest) -> bool:
        if "damaged" in lora_request.lora_path:
            raise ValueError("no adapter_model.safetensors")
        self.adapters.append(lora_request)
        return True

    def shutdown(self, timeout: float | None = None) -> None:
        self.shut_down = True


def _logprobs(raw: np.ndarray[Any, Any], token: int, wanted: int | None) -> dict[int, SimpleNamespace] | None:
    if wanted is None:
        return None
    normal = raw - np.log(np.exp(raw - raw.max()).sum()) - raw.max()
    best = np.argsort(-normal, kind="stable")[:wanted]
    return {int(each): SimpleNamespace(logprob=float(normal[each])) for each in (token, *best)}


def tokens_input(prompt_token_ids: list[int], *, cache_salt: str | None = None) -> dict[str, Any]:
    prompt = {"type": "token", "prompt_token_ids": prompt_token_ids}
    return prompt if cache_salt is None else {**prompt, "cache_salt": cache_salt}


def modules(version: str = "0.32.0+cpu", *, cpu: bool = False) -> dict[str, types.ModuleType]:
    """What ``sys.modules`` holds once this is imported in vLLM's place."""
    own = sys.modules[__name__]
    found: dict[str, types.ModuleType] = {}
    for name in (
        "vllm",
        "vllm.engine",
        "vllm.engine.arg_utils",
        "vllm.v1",
        "vllm.v1.engine",
        "vllm.v1.engine.async_llm",
        "vllm.v1.engine.exceptions",
        "vllm.v1.metrics",
        "vllm.v1.metrics.loggers",
        "vllm.sampling_params",
        "vllm.inputs",
        "vllm.lora",
        "vllm.lora.request",
        "vllm.exceptions",
        "vllm.platforms",
    ):
        found[name] = types.ModuleType(name)
        if not version.startswith("0.26"):
            for each in ("GracefulHTTPError", "GenerationError"):
                setattr(found[name], each, getattr(own, each))
        for each in ("AsyncEngineArgs", "AsyncLLM", "SamplingParams", "RequestOutputKind", "tokens_input"):
            setattr(found[name], each, getattr(own, each))
        for each in ("LoRARequest", "VLLMClientError", "EngineDeadError", "EngineGenerateError", "StatLoggerBase"):
            setattr(found[name], each, getattr(own, each))
    found["vllm.platforms"].current_platform = SimpleNamespace(is_cpu=lambda: cpu)  # type: ignore[attr-defined]
    return found
