"""A model's shape, parsed once from config.json. Knows nothing of weights, tensors' values or the tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.families import FAMILIES, Family
from dovetail.models.fields import Fields, read_json
from dovetail.models.rope_config import RopeConfig

ACTIVATIONS = ("silu", "swish")
ROPE_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True)
class ModelConfig:
    """Everything the decoder needs to know of its shape.

    ``windows[i]``: how many tokens back layer ``i`` looks, itself included; None for all.
    """

    family: Family
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    max_position_embeddings: int
    rope: RopeConfig
    tie_word_embeddings: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    windows: tuple[int | None, ...]

    @property
    def architecture(self) -> str:
        """The name in config.json, e.g. ``Qwen2ForCausalLM``."""
        return self.family.architecture

    @property
    def qk_norm(self) -> bool:
        """Whether each head's query and key are normalised before the rotation."""
        return self.family.qk_norm

    @property
    def query_size(self) -> int:
        """Width of all query heads together."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Width of all key heads together (values have the same)."""
        return self.num_kv_heads * self.head_dim

    @property
    def attention_scale(self) -> float:
        """Factor on the attention scores."""
        return float(self.head_dim**-0.5)

    @classmethod
    def load(cls, directory: Path) -> ModelConfig:
        """Parse ``config.json`` of a model directory.

        Raises:
            ModelDirectoryError: the directory or file is missing or damaged, or names something unsupported.
        """
        if not directory.is_dir():
            raise ModelDirectoryError(f"{directory}: not a directory; give the folder that holds config.json")
        path = directory / "config.json"
        return cls.parse(read_json(path), str(path))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str) -> ModelConfig:
        """Parse the contents of config.json; ``where`` names the file in errors."""
        family = _family(values, where)
        fields = Fields(values, where, family.defaults)
        _refuse_unsupported(fields)
        hidden, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
        if fields.values.get("head_dim") is None and hidden % heads:
            raise ModelDirectoryError(f"{where}: hidden_size {hidden} is no multiple of num_attention_heads {heads}")
        kv_heads = fields.integer("num_key_value_heads", heads)
        if heads % kv_heads:
            raise ModelDirectoryError(
                f"{where}: num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}"
            )
        head_dim = fields.integer("head_dim", hidden // heads)
        if head_dim % 2:
            raise ModelDirectoryError(f"{where}: head_dim {head_dim} is odd; rotary embedding turns pairs")
        length = fields.integer("max_position_embeddings")
        attention_bias = family.attention_bias == "as configured" and fields.flag("attention_bias", False)
        return cls(
            family=family,
            vocab_size=fields.integer("vocab_size"),
            hidden_size=hidden,
            intermediate_size=fields.integer("intermediate_size"),
            num_layers=fields.integer("num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=kv_heads,
            head_dim=head_dim,
            rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
            max_position_embeddings=length,
            rope=_rope(fields, length),
            tie_word_embeddings=fields.flag("tie_word_embeddings", False),
            qkv_bias=attention_bias or family.attention_bias in ("qkv", "all"),
            output_bias=attention_bias or family.attention_bias == "all",
            mlp_bias=family.mlp_bias == "all"
            or (family.mlp_bias == "as configured" and fields.flag("mlp_bias", False)),
            windows=_windows(fields, family),
        )


def _family(values: dict[str, Any], where: str) -> Family:
    architectures = values.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    if not isinstance(name, str):
        raise ModelDirectoryError(f"{where}: architectures is missing; supported: {', '.join(sorted(FAMILIES))}")
    if name not in FAMILIES:
        raise ModelDirectoryError(
            f"{where}: architecture {name} is not supported; supported: {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[name]


def _refuse_unsupported(fields: Fields) -> None:
    activation = fields.values.get("hidden_act", "silu")
    if activation not in ACTIVATIONS:
        raise ModelDirectoryError(
            f"{fields.where}: hidden_act {activation!r} is not supported; supported: {', '.join(ACTIVATIONS)}"
        )
    quantisation = fields.values.get("quantization_config")
    if quantisation is not None:
        method = quantisation.get("quant_method", "unnamed") if isinstance(quantisation, dict) else quantisation
        raise ModelDirectoryError(
            f"{fields.where}: quantised weights ({method}) are not supported; use the float16, bfloat16 or float32 weights"
        )


def _rope(fields: Fields, length: int) -> RopeConfig:
    """Rotary parameters, from ``rope_parameters`` (transformers 5) or ``rope_theta`` and ``rope_scaling`` (before)."""
    given = fields.values.get("rope_scaling") or fields.values.get("rope_parameters") or {}
    if not isinstance(given, dict):
        raise fields.wrong("rope_parameters", "an object")
    rope = Fields({"rope_theta": fields.values.get("rope_theta", 10000.0), **given}, f"{fields.where}: rope_parameters")
    kind = given.get("rope_type", given.get("type", "default"))
    partial = given.get("partial_rotary_factor", fields.values.get("partial_rotary_factor"))
    if kind not in ROPE_TYPES:
        raise ModelDirectoryError(
            f"{fields.where}: rope type {kind!r} is not supported; supported: {', '.join(ROPE_TYPES)}"
        )
    if partial not in (None, 1, 1.0):
        raise ModelDirectoryError(f"{fields.where}: partial_rotary_factor {partial} is not supported; supported: 1.0")
    theta = rope.number("rope_theta")
    if kind == "default":
        return RopeConfig(theta)
    if kind == "linear":
        return RopeConfig(theta, "linear", rope.number("factor"))
    length_before = fields.optional_integer("original_max_position_embeddings")
    original = length_before or rope.integer("original_max_position_embeddings", length)
    if kind == "llama3":
        low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
        if low >= high:
            raise ModelDirectoryError(f"{rope.where}: low_freq_factor {low} must be below high_freq_factor {high}")
        return RopeConfig(theta, "llama3", rope.number("factor"), original, low, high)
    return RopeConfig(
        theta,
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


def _windows(fields: Fields, family: Family) -> tuple[int | None, ...]:
    layers = fields.integer("num_hidden_layers")
    everywhere: tuple[int | None, ...] = (None,) * layers
    if family.windows == "never":
        return everywhere
    window = fields.optional_integer("sliding_window")
    if family.windows == "every layer":
        return (window,) * layers
    if window is None or not fields.flag("use_sliding_window", False):
        return everywhere
    kinds = fields.values.get("layer_types")
    if kinds is None:
        first = fields.integer("max_window_layers", least=0)
        return tuple(window if layer >= first else None for layer in range(layers))
    if not isinstance(kinds, list) or len(kinds) != layers or set(kinds) - {"sliding_attention", "full_attention"}:
        raise fields.wrong("layer_types", f"a list of {layers} times sliding_attention or full_attention")
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)
