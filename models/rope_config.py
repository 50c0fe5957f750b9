"""A model's rotary parameters, read from its configuration. Knows no formulas and no torch: see rotary.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import Fields

RopeType = Literal["default", "linear", "dynamic", "llama3", "yarn", "longrope"]
OLD_NAMES = {"su": "longrope"}
SLIDING, FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True)
class RopeConfig:
    """Rotary parameters; those that a type does not use are None.

    ``width``: how many of a head's dimensions are turned. ``factor``: by how much the context was stretched beyond
    ``original_length`` tokens. ``attention_factor``: on cosine and sine, if the configuration fixes it. ``short_factors``,
    ``long_factors``: LongRoPE's divisors of each frequency, for contexts up to the original length and beyond it.
    """

    theta: float
    width: int
    type: RopeType = "default"
    factor: float | None = None
    original_length: int | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()


def read_ropes(fields: Fields, head_dim: int, length: int, *, partial: bool) -> dict[str, RopeConfig]:
    """The rotary parameters of each layer type; under ``""`` where all layers have the same.

    They stand in ``rope_parameters`` (transformers 5; by layer type, if types differ) or in ``rope_theta``, ``rope_scaling`` and
    ``rope_local_base_freq`` (before).

    Args:
        fields: of config.json.
        head_dim: of every head.
        length: the longest context.
        partial: whether the architecture may turn a part of each head only.
    """
    given = fields.values.get("rope_scaling") or fields.values.get("rope_parameters") or {}
    if not isinstance(given, dict):
        raise fields.wrong("rope_parameters", "an object")
    local = {"rope_theta": theta} if (theta := fields.values.get("rope_local_base_freq")) is not None else {}
    parts: dict[str, Any] = {"": given}
    if SLIDING in given or FULL in given:
        parts = {SLIDING: given.get(SLIDING) or {}, FULL: given.get(FULL) or {}}
    elif local:
        parts = {SLIDING: {}, FULL: given}
    for kind, part in parts.items():
        if not isinstance(part, dict):
            raise fields.wrong("rope_parameters", f"an object; so must be its {kind}")
    for part in (fields.values, *parts.values()):
        share = part.get("partial_rotary_factor")
        if share not in (None, 1) and not partial:
            raise ModelDirectoryError(
                f"{fields.where}: partial_rotary_factor {share} is not supported for this architecture; supported: 1.0"
            )
    return {
        kind: _read(fields, {**local, **part} if kind == SLIDING else part, head_dim, length)
        for kind, part in parts.items()
    }


def _read(fields: Fields, given: Mapping[str, Any], head_dim: int, length: int) -> RopeConfig:
    theta = fields.values.get("rope_theta") or 10000.0
    rope = Fields({"rope_theta": theta, **given}, f"{fields.where}: rope_parameters")
    kind = given.get("rope_type", given.get("type", "default"))
    kind = OLD_NAMES.get(kind, kind) if isinstance(kind, str) else kind
    if kind not in get_args(RopeType):
        raise ModelDirectoryError(
            f"{fields.where}: rope type {kind!r} is not supported; supported: {', '.join(get_args(RopeType))}"
        )
    theta, width = rope.number("rope_theta"), _width(fields, rope, head_dim)
    if kind == "default":
        return RopeConfig(theta, width)
    if kind in ("linear", "dynamic"):
        return RopeConfig(theta, width, cast(RopeType, kind), rope.number("factor"), length)
    original = fields.optional_integer("original_max_position_embeddings") or rope.integer(
        "original_max_position_embeddings", length
    )
    if kind == "llama3":
        low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
        if low >= high:
            raise ModelDirectoryError(f"{rope.where}: low_freq_factor {low} must be below high_freq_factor {high}")
        return RopeConfig(theta, width, "llama3", rope.number("factor"), original, low, high)
    if kind == "longrope":
        return RopeConfig(
            theta,
            width,
            "longrope",
            rope.number("factor", length / original),
            original,
            attention_factor=rope.optional_number("attention_factor"),
            short_factors=_factors(rope, "short_factor", width // 2),
            long_factors=_factors(rope, "long_factor", width // 2),
        )
    return RopeConfig(
        theta,
        width,
        "yarn",
        rope.number("factor", length / original),
        original,
        attention_factor=rope.optional_number("attention_factor"),
        mscale=rope.optional_number("mscale"),
        mscale_all_dim=rope.optional_number("mscale_all_dim"),
        beta_fast=rope.number("beta_fast", 32.0),
        beta_slow=rope.number("beta_slow", 1.0),
        truncate=rope.flag("truncate", True),
    )


def _width(fields: Fields, rope: Fields, head_dim: int) -> int:
    """How many dimensions of a head are turned."""
    share = rope.number("partial_rotary_factor", fields.number("partial_rotary_factor", 1.0))
    width = int(head_dim * share)
    if not 0 < width <= head_dim or width % 2:
        raise ModelDirectoryError(
            f"{fields.where}: partial_rotary_factor {share} turns {width} of {head_dim} dimensions; it must be an even number"
        )
    return width


def _factors(rope: Fields, key: str, count: int) -> tuple[float, ...]:
    values = rope.values.get(key)
    if not isinstance(values, list) or len(values) != count or not all(_positive(value) for value in values):
        raise rope.wrong(key, f"a list of {count} positive numbers")
    return tuple(float(value) for value in values)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
