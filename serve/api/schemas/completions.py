"""Answers of Completions, and of editors' infill."""

from __future__ import annotations

from typing import Literal

from dovetail.serve.api.schemas.shared import SecurityReport, TokenUsage, Wire


class CompletionLogprobs(Wire):
    """Log probabilities in lists of one entry for each token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(Wire):
    """A text, or in a stream what is new of it; ``finish_reason`` is ``error`` where a failure ended it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length", "content_filter", "error"] | None
    refusal: str | None = None
    security: SecurityReport | None = None


class Completion(Wire):
    """Texts that go on from prompts; also the data of each event of a stream, where ``usage`` comes last, if it was asked for."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[CompletionChoice]
    usage: TokenUsage | None = None


class InfillSettings(Wire):
    """What the middle was made with."""

    n_ctx: int
    n_predict: int
    temperature: float


class InfillTimings(Wire):
    """Counts and milliseconds, as llama.cpp's server has them."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class Infill(Wire):
    """The middle of a file; in a stream the last event. ``truncated``: the prompt was cut to the model's window."""

    index: int
    content: str
    stop: Literal[True]
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    tokens_cached: int
    truncated: bool
    stop_type: Literal["none", "eos", "limit", "word"]
    stopping_word: str
    generation_settings: InfillSettings
    timings: InfillTimings
    refusal: str | None = None
    security: SecurityReport | None = None


class InfillDelta(Wire):
    """The data of each event of a stream but the last."""

    index: int
    content: str
    stop: Literal[False]
    tokens_predicted: int
    tokens_evaluated: int
