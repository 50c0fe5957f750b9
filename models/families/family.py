"""What a family of decoder-only models may declare. No arithmetic: the one decoder lives in models/decoder.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from dovetail.models.fields import Fields

Bias = Literal["never", "always", "qkv", "as configured"]
"""Which projections add a bias: none, every one, query/key/value, or every one if config.json's switch says so."""

Windows = Literal["never", "every layer", "every layer if switched on", "if switched on", "by layer type"]
"""Which layers look only ``sliding_window`` tokens back: none; all, if the number is given; all, with ``use_sliding_window``;
with that, those that ``layer_types`` (or the index from ``max_window_layers`` up) names; those that ``layer_types`` names."""

Ropes = Literal["every layer", "listed layers", "by layer type"]
"""Which layers turn queries and keys by their position: all; those that ``no_rope_layers`` has a 1 for; all, by the angles
of their layer type."""


@dataclass(frozen=True)
class TensorNames:
    """Names of the tensors in the weight files, less ``.weight`` and ``.bias``; ``{i}`` stands for the layer's index, ``{e}``
    for the expert's.

    ``qkv`` and ``gate_up``: where one matrix holds the rows of all. ``positions``: a learned embedding of positions.
    ``attention_added_norm`` and ``mlp_added_norm``: norms of what a block adds. ``experts_*``: every expert's in one tensor.
    """

    embedding: str = "model.embed_tokens"
    positions: str = ""
    final_norm: str = "model.norm"
    head: str = "lm_head"
    input_norm: str = "model.layers.{i}.input_layernorm"
    post_attention_norm: str = "model.layers.{i}.post_attention_layernorm"
    attention_added_norm: str = ""
    mlp_added_norm: str = ""
    qkv: str = ""
    query: str = "model.layers.{i}.self_attn.q_proj"
    key: str = "model.layers.{i}.self_attn.k_proj"
    value: str = "model.layers.{i}.self_attn.v_proj"
    output: str = "model.layers.{i}.self_attn.o_proj"
    query_norm: str = "model.layers.{i}.self_attn.q_norm"
    key_norm: str = "model.layers.{i}.self_attn.k_norm"
    sinks: str = "model.layers.{i}.self_attn.sinks"
    gate_up: str = ""
    gate: str = "model.layers.{i}.mlp.gate_proj"
    up: str = "model.layers.{i}.mlp.up_proj"
    down: str = "model.layers.{i}.mlp.down_proj"
    router: str = "model.layers.{i}.mlp.gate"
    expert_gate: str = "model.layers.{i}.mlp.experts.{e}.gate_proj"
    expert_up: str = "model.layers.{i}.mlp.experts.{e}.up_proj"
    expert_down: str = "model.layers.{i}.mlp.experts.{e}.down_proj"
    experts_gate_up: str = "model.layers.{i}.mlp.experts.gate_up_proj"
    experts_down: str = "model.layers.{i}.mlp.experts.down_proj"

    def under(self, prefix: str) -> TensorNames:
        """All names with ``prefix`` before them."""
        return TensorNames(**{key: name and prefix + name for key, name in asdict(self).items()})


@dataclass(frozen=True)
class Scales:
    """Constant factors in the arithmetic. ``attention``: on the scores; None: one over the root of the head's width.

    ``..._softcap``: values beyond which scores and logits are squashed, ``cap * tanh(x / cap)``; None: they are not.
    ``growth``: a strength and a length: scores of a query grow with each such length before it; None: they do not.
    """

    embedding: float = 1.0
    residual: float = 1.0
    attention: float | None = None
    logits: float = 1.0
    score_softcap: float | None = None
    logit_softcap: float | None = None
    growth: tuple[float, int] | None = None


@dataclass(frozen=True)
class ExpertShape:
    """Layers whose MLP is a choice of experts.

    Attributes:
        count: experts of a layer.
        per_token: how many of them a token goes through.
        inner: width inside of one.
        layers: indexes of the layers that have experts.
        normalised: whether the chosen experts' weights sum to one.
        biased: whether router and experts add biases.
        stacked: whether all experts of a layer are one tensor, columns first, gate and up taking turns.
        clamp: limit and steepness of the clamped activation; None: the family's own activation.
    """

    count: int
    per_token: int
    inner: int
    layers: frozenset[int]
    normalised: bool = True
    biased: bool = False
    stacked: bool = False
    clamp: tuple[float, float] | None = None


def _plain(fields: Fields) -> Scales:
    return Scales()


def _dense(fields: Fields) -> None:
    return None


@dataclass(frozen=True)
class Family:
    """How one architecture differs from the plain decoder.

    Attributes:
        name: a short one.
        architecture: as config.json names it.
        attention_bias, mlp_bias: which projections have biases; ``bias_key``: the switch in config.json that both ask, if
            it is not ``attention_bias`` and ``mlp_bias``.
        qk_norm: whether each head's query and key are normalised before they are turned.
        partial_ropes: whether config.json may say that only a part of each head is turned.
        norm: root mean square, or LayerNorm with a bias; ``norm_offset`` is added to the stored weights of the former.
        eps_key, activation_key: what config.json calls them.
        gated: whether the MLP has a gate.
        sinks: whether every head has a learned score that takes part in the softmax and adds nothing.
        scales, experts: read from config.json.
        keys: other names for config.json's keys, by the usual ones.
        text_config: whether config.json holds the text model's configuration under ``text_config``.
        unread: beginnings of the names of tensors that text needs none of.
        quantizations: methods of stored weights that are read for this architecture.
        defaults: values of config.json keys that the architecture's own configuration class supplies when the file leaves them
            out. Keys without a default here are required.
    """

    name: str
    architecture: str
    attention_bias: Bias = "never"
    mlp_bias: Bias = "never"
    bias_key: str = ""
    qk_norm: bool = False
    windows: Windows = "never"
    ropes: Ropes = "every layer"
    partial_ropes: bool = False
    norm: Literal["rms", "layer"] = "rms"
    norm_offset: float = 0.0
    eps_key: str = "rms_norm_eps"
    activation_key: str = "hidden_act"
    gated: bool = True
    sinks: bool = False
    scales: Callable[[Fields], Scales] = _plain
    experts: Callable[[Fields], ExpertShape | None] = _dense
    keys: Mapping[str, str] = field(default_factory=dict)
    text_config: bool = False
    unread: tuple[str, ...] = ()
    quantizations: tuple[str, ...] = ()
    names: TensorNames = TensorNames()
    defaults: Mapping[str, object] = field(default_factory=dict)

    def within(self, architecture: str) -> Family:
        """The same as the text model of one that also reads pictures."""
        return replace(
            self,
            architecture=architecture,
            text_config=True,
            names=self.names.under("language_model."),
            unread=("vision_tower.", "multi_modal_projector."),
        )
