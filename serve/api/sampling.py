"""The sampling fields that all endpoints share: their wire schema, and what the engine gets. Knows no endpoint."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dovetail.serve.api.served import SamplingDefaults, ServedModel
from dovetail.serve.errors import UserError
from dovetail.serve.types import SamplingParams

MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20
MAX_CHOICES = 128
SEED_MASK = 2**63 - 1


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Stop = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_STOPS), BeforeValidator(_one_or_many)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]


class StreamOptions(BaseModel):
    """How a stream reports itself."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    include_usage: bool | None = None


class Scheduled(BaseModel):
    """How a request is scheduled: ``priority`` (lower runs first), ``timeout`` in seconds, ``cache_salt`` (prompts with
    different ones share no cached prefixes)."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    def scheduling(self) -> dict[str, Any]:
        """The fields of types.Request that say when and beside whom it runs."""
        return {"priority": self.priority or 0, "timeout_s": self.timeout, "cache_salt": self.cache_salt}


class SamplingFields(Scheduled):
    """Everything that shapes the drawing of tokens, with OpenAI's names and limits, the rest as vLLM names it."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Seed | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    stop: Stop | None = None
    stop_token_ids: list[Annotated[int, Field(ge=0, lt=2**31)]] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    ignore_eos: bool | None = None


class ManyFields(SamplingFields):
    """The sampling fields of the OpenAI endpoints, which can answer several times and in a stream."""

    model: str | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def sampling_params(
    fields: SamplingFields,
    served: ServedModel,
    *,
    max_tokens: int,
    index: int = 0,
    logprobs: int | None = None,
    defaults: SamplingDefaults | None = None,
    stop_ids: tuple[int, ...] = (),
) -> SamplingParams:
    """Complete parameters of the ``index``-th answer; ``max_tokens`` is already within the room there is.

    ``stop_ids``: what ends the output beside what the client says."""
    default = defaults if defaults is not None else served.defaults
    return SamplingParams(
        max_tokens=max_tokens,
        min_tokens=_min_tokens(fields.min_tokens or 0, max_tokens, fields.max_tokens),
        temperature=_or(fields.temperature, default.temperature),
        top_p=_or(fields.top_p, default.top_p),
        top_k=min(max(0, int(_or(fields.top_k, default.top_k))), served.codec.size),
        min_p=_or(fields.min_p, default.min_p),
        seed=None if fields.seed is None else (fields.seed + index) & SEED_MASK,
        presence_penalty=_or(fields.presence_penalty, 0.0),
        frequency_penalty=_or(fields.frequency_penalty, 0.0),
        repetition_penalty=_or(fields.repetition_penalty, default.repetition_penalty),
        logit_bias=_logit_bias(fields.logit_bias or {}, served.codec.size),
        stop=tuple(fields.stop or ()),
        stop_token_ids=(*(fields.stop_token_ids or ()), *stop_ids),
        ignore_eos=bool(fields.ignore_eos),
        logprobs=logprobs,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _min_tokens(wanted: int, room: int, asked: int | None) -> int:
    if asked is not None and wanted > asked:
        raise UserError(
            f"min_tokens ({wanted}) is larger than max_tokens ({asked}).", code="invalid_value", param="min_tokens"
        )
    return min(wanted, room)


def _logit_bias(wire: dict[str, float], size: int) -> dict[int, float]:
    bias: dict[int, float] = {}
    for key, value in wire.items():
        if not key.isascii() or not key.isdecimal() or len(key) > 9 or int(key) >= size:
            raise UserError(
                f"logit_bias: {key!r} is not a token id of this model (0 to {size - 1}).",
                code="invalid_value",
                param=f"logit_bias.{key}",
            )
        bias[int(key)] = value
    return bias
