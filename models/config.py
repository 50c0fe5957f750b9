"""A model's shape, parsed once from config.json. Knows nothing of weights, tensors' values or the tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.families import FAMILIES, TEXT_OF, Family
from dovetail.models.families.family import ExpertShape, Scales
from dovetail.models.fields import Fields, read_json
from dovetail.models.rope_config import FULL, SLIDING, RopeConfig, read_ropes

Activation = Literal["silu", "gelu", "gelu_tanh"]
ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}

QUANTISATIONS = ("fp8", "awq", "gptq", "compressed-tensors")
"""Methods by which matrices of any architecture may be stored (models/quantised)."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything the decoder needs to know of its shape.

    ``windows[i]``: how many tokens back layer ``i`` looks, itself included; None for all. ``ropes[i]``: how it turns queries and
    keys; None: not at all. ``quantization``: the method by which stored weights are quantised; None: they are not.
    """

    family: Family
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    max_position_embeddings: int
    tie_word_embeddings: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    activation: Activation
    windows: tuple[int | None, ...]
    ropes: tuple[RopeConfig | None, ...]
    scales: Scales
    experts: ExpertShape | None
    quantization: str | None

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
    def rotary_width(self) -> int:
        """How many of a head's dimensions the layers that turn any turn."""
        return next((rope.width for rope in self.ropes if rope is not None), self.head_dim)

    @property
    def attention_scale(self) -> float:
        """Factor on the attention scores."""
        return self.scales.attention or float(self.head_dim**-0.5)

    def has_experts(self, layer: int) -> bool:
        """Whether the layer's MLP is a choice of experts."""
        return self.experts is not None and layer in self.experts.layers

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
        fields = _fields(values, where, family)
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
        attention_bias = _biased(fields, family, "attention_bias")
        return cls(
            family=family,
            vocab_size=fields.integer("vocab_size"),
            hidden_size=hidden,
            intermediate_size=fields.integer("intermediate_size", 4 * hidden if family.names.positions else None),
            num_layers=fields.integer("num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=kv_heads,
            head_dim=head_dim,
            norm_eps=fields.number(family.eps_key, 1e-6),
            max_position_embeddings=length,
            tie_word_embeddings=fields.flag("tie_word_embeddings", False),
            qkv_bias=attention_bias or family.attention_bias == "qkv",
            output_bias=attention_bias,
            mlp_bias=_biased(fields, family, "mlp_bias"),
            activation=_activation(fields, family),
            windows=_windows(fields, family),
            ropes=_ropes(fields, family, head_dim, length),
            scales=family.scales(fields),
            experts=family.experts(fields),
            quantization=_quantization(fields, family),
        )


def _family(values: dict[str, Any], where: str) -> Family:
    architectures = values.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    known = sorted({*FAMILIES, *TEXT_OF})
    if not isinstance(name, str):
        raise ModelDirectoryError(f"{where}: architectures is missing; supported: {', '.join(known)}")
    whole = name.removesuffix("Model") + "ForCausalLM"  # of a model that was saved without its head, as for embeddings
    if name in FAMILIES or whole in FAMILIES:
        return FAMILIES[name if name in FAMILIES else whole]
    if name in TEXT_OF:
        text = values.get("text_config")
        kind = text.get("model_type") if isinstance(text, dict) else None
        if kind in TEXT_OF[name]:
            return TEXT_OF[name][kind]
        name = f"{name} around a text model of type {kind}"
    raise ModelDirectoryError(
        f"{where}: architecture {name} is not supported by Dovetail's own engine, which has {', '.join(known)}; "
        "for others there is dovetail serve --engine vllm (docs/vllm.md)"
    )


def _fields(values: dict[str, Any], where: str, family: Family) -> Fields:
    """config.json's keys by their usual names."""
    if family.text_config:
        text = values["text_config"]
        shared = {"tie_word_embeddings", "quantization_config"}
        values = {**{key: value for key, value in values.items() if key in shared}, **text}
    renamed = {usual: values[key] for usual, key in family.keys.items() if key in values}
    return Fields({**values, **renamed}, where, family.defaults)


def _biased(fields: Fields, family: Family, key: Literal["attention_bias", "mlp_bias"]) -> bool:
    declared = getattr(family, key)
    return declared == "always" or (declared == "as configured" and fields.flag(family.bias_key or key, False))


def _activation(fields: Fields, family: Family) -> Activation:
    name = fields.values.get(family.activation_key) or family.defaults.get(family.activation_key, "silu")
    if name not in ACTIVATIONS:
        raise ModelDirectoryError(
            f"{fields.where}: {family.activation_key} {name!r} is not supported; supported: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def _quantization(fields: Fields, family: Family) -> str | None:
    given = fields.values.get("quantization_config")
    if given is None:
        return None
    method = given.get("quant_method", "unnamed") if isinstance(given, dict) else given
    if method in family.quantizations or method in QUANTISATIONS:
        return str(method)
    raise ModelDirectoryError(
        f"{fields.where}: quantised weights ({method}) are not supported; supported: {', '.join(QUANTISATIONS)}, or use "
        "the float16, bfloat16 or float32 weights"
    )


def _windows(fields: Fields, family: Family) -> tuple[int | None, ...]:
    layers = fields.integer("num_hidden_layers")
    everywhere: tuple[int | None, ...] = (None,) * layers
    if family.windows == "never":
        return everywhere
    window = fields.optional_integer("sliding_window")
    if family.windows == "every layer":
        return (window,) * layers
    if window is None or ("if switched on" in family.windows and not fields.flag("use_sliding_window", False)):
        return everywhere
    if family.windows == "every layer if switched on":
        return (window,) * layers
    if fields.values.get("layer_types") is None and "max_window_layers" in fields.values:
        first = fields.integer("max_window_layers", least=0)
        return tuple(window if layer >= first else None for layer in range(layers))
    return tuple(window if kind == SLIDING else None for kind in _layer_types(fields, layers))


def _layer_types(fields: Fields, layers: int) -> list[str]:
    """Of every layer; where only a pattern is given, every so many layers one sees all."""
    kinds = fields.values.get("layer_types")
    if kinds is None:
        pattern = fields.integer("sliding_window_pattern")
        return [FULL if (layer + 1) % pattern == 0 else SLIDING for layer in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers or set(kinds) - {SLIDING, FULL}:
        raise fields.wrong("layer_types", f"a list of {layers} times {SLIDING} or {FULL}")
    return kinds


def _ropes(fields: Fields, family: Family, head_dim: int, length: int) -> tuple[RopeConfig | None, ...]:
    layers = fields.integer("num_hidden_layers")
    if family.names.positions:
        return (None,) * layers
    ropes = read_ropes(fields, head_dim, length, partial=family.partial_ropes)
    if family.ropes == "by layer type":
        return tuple(ropes.get(kind) or ropes[""] for kind in _layer_types(fields, layers))
    if "" not in ropes:
        raise fields.wrong("rope_parameters", "the same for all layers")
    if family.ropes == "every layer":
        return (ropes[""],) * layers
    turned = fields.values.get("no_rope_layers")
    if turned is None:
        interval = fields.integer("no_rope_layer_interval")
        return tuple(None if (layer + 1) % interval == 0 else ropes[""] for layer in range(layers))
    if not isinstance(turned, list) or len(turned) < layers or not set(turned) <= {0, 1}:
        raise fields.wrong("no_rope_layers", f"a list of {layers} times 0 or 1")
    return tuple(ropes[""] if cast(int, each) else None for each in turned[:layers])
