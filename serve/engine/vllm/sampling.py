"""This server's sampling parameters in vLLM's words: by name, nothing left out. Knows no request and no vLLM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from dovetail.serve.types import SamplingParams

_MASK63 = (1 << 63) - 1
BAN = -10_000.0
"""Added to the logit of a token that must not come: no other logit is anywhere near."""


def sampling_of(params: SamplingParams, *, vocab_size: int, stop_ids: Collection[int]) -> dict[str, Any]:
    """The whole output's parameters. ``stop_ids``: tokens that end it. Stop strings are looked for in our own text."""
    return {
        "max_tokens": params.max_tokens,
        "min_tokens": min(params.min_tokens, params.max_tokens),
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "min_p": params.min_p,
        "seed": seed_of(params, 0),
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "repetition_penalty": params.repetition_penalty,
        "logit_bias": {token: bias for token, bias in params.logit_bias.items() if 0 <= token < vocab_size} or None,
        "stop_token_ids": sorted(token for token in stop_ids if 0 <= token < vocab_size),
        "ignore_eos": True,  # what ends an output is in stop_token_ids
        "logprobs": params.logprobs,
        "detokenize": False,
    }


def counts_output(params: SamplingParams) -> bool:
    """Whether a draw depends on how often a token has come so far, which vLLM counts within one ask only."""
    return bool(params.presence_penalty or params.frequency_penalty)


def continued(whole: dict[str, Any], params: SamplingParams, output: Sequence[int], *, asked: int) -> dict[str, Any]:
    """The parameters of what comes after ``output``, which is part of the prompt by then; ``asked``: times before this one."""
    changed = {
        **whole,
        "max_tokens": params.max_tokens - len(output),
        "min_tokens": 0,
        "seed": seed_of(params, asked),
    }
    if counts_output(params):
        changed["max_tokens"] = 1
        bias = dict(whole["logit_bias"] or {})
        for token, times in Counter(output).items():
            penalty = params.presence_penalty + params.frequency_penalty * times
            bias[token] = bias.get(token, 0.0) - penalty
        changed["logit_bias"] = bias or None
    return changed


def one_of(sampling: dict[str, Any], tokens: Sequence[int]) -> dict[str, Any]:
    """One token, among ``tokens``."""
    return {**sampling, "max_tokens": 1, "allowed_token_ids": list(tokens)}


def none_of(sampling: dict[str, Any], banned: Collection[int], likeliest: int) -> dict[str, Any]:
    """One token that is none of ``banned``, and what else was likely."""
    bias = {**(sampling["logit_bias"] or {}), **dict.fromkeys(banned, BAN)}
    wanted = max(likeliest, sampling["logprobs"] or 0)
    return {**sampling, "max_tokens": 1, "logit_bias": bias, "logprobs": wanted}


def seed_of(params: SamplingParams, asked: int) -> int | None:
    """The seed of a request's next ask: the request's own at first, then others that follow from it.

    The likeliest token is drawn without any.
    """
    if params.seed is None or params.temperature == 0:
        return None
    seed = params.seed & _MASK63
    if asked:
        seed = (seed + 0x9E3779B97F4A7C15 * asked) & _MASK63
        seed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK63
        seed ^= seed >> 27
    return seed
