"""Which tensors a checkpoint of a configuration holds: names and shapes. Knows no file."""

from __future__ import annotations

import math

from dovetail.models.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(config: ModelConfig) -> Shapes:
    """Name and shape of every tensor that a checkpoint of this configuration holds."""
    names, hidden = config.family.names, config.hidden_size
    shapes: Shapes = {names.embedding + ".weight": (config.vocab_size, hidden)}
    _norm(shapes, config, names.final_norm)
    if not config.tie_word_embeddings:
        shapes[names.head + ".weight"] = (config.vocab_size, hidden)
    if names.positions:
        shapes[names.positions + ".weight"] = (config.max_position_embeddings, hidden)
    for i in range(config.num_layers):
        layer: Shapes = {}
        for norm in (names.input_norm, names.post_attention_norm, names.attention_added_norm, names.mlp_added_norm):
            if norm:
                _norm(layer, config, norm)
        _attention(layer, config)
        _experts(layer, config) if config.has_experts(i) else _mlp(layer, config)
        shapes |= {name.replace("{i}", str(i)): shape for name, shape in layer.items()}
    return shapes


def parameters(config: ModelConfig) -> int:
    """How many parameters it has, tied ones once."""
    return sum(math.prod(shape) for shape in tensor_shapes(config).values())


def _attention(shapes: Shapes, config: ModelConfig) -> None:
    names, hidden, query, each = config.family.names, config.hidden_size, config.query_size, config.kv_size
    if config.qk_norm:
        shapes[names.query_norm + ".weight"] = (config.head_dim,)
        shapes[names.key_norm + ".weight"] = (config.head_dim,)
    if names.qkv:
        _matrix(shapes, names.qkv, query + 2 * each, hidden, config.qkv_bias)
    else:
        for name, size in ((names.query, query), (names.key, each), (names.value, each)):
            _matrix(shapes, name, size, hidden, config.qkv_bias)
    _matrix(shapes, names.output, hidden, query, config.output_bias)
    if config.family.sinks:
        shapes[names.sinks] = (config.num_heads,)


def _mlp(shapes: Shapes, config: ModelConfig) -> None:
    names, hidden, inner = config.family.names, config.hidden_size, config.intermediate_size
    if names.gate_up:
        _matrix(shapes, names.gate_up, 2 * inner, hidden, config.mlp_bias)
    else:
        for name in (names.gate, names.up) if config.family.gated else (names.up,):
            _matrix(shapes, name, inner, hidden, config.mlp_bias)
    _matrix(shapes, names.down, hidden, inner, config.mlp_bias)


def _experts(shapes: Shapes, config: ModelConfig) -> None:
    names, hidden, experts = config.family.names, config.hidden_size, config.experts
    assert experts is not None
    _matrix(shapes, names.router, experts.count, hidden, experts.biased)
    if experts.stacked:
        shapes[names.experts_gate_up] = (experts.count, hidden, 2 * experts.inner)
        shapes[names.experts_down] = (experts.count, experts.inner, hidden)
        if experts.biased:
            shapes[names.experts_gate_up + "_bias"] = (experts.count, 2 * experts.inner)
            shapes[names.experts_down + "_bias"] = (experts.count, hidden)
        return
    for e in range(experts.count):
        for name, rows, columns in (
            (names.expert_gate, experts.inner, hidden),
            (names.expert_up, experts.inner, hidden),
            (names.expert_down, hidden, experts.inner),
        ):
            _matrix(shapes, name.replace("{e}", str(e)), rows, columns, experts.biased)


def _matrix(shapes: Shapes, name: str, rows: int, columns: int, biased: bool) -> None:
    shapes[name + ".weight"] = (rows, columns)
    if biased:
        shapes[name + ".bias"] = (rows,)


def _norm(shapes: Shapes, config: ModelConfig, name: str) -> None:
    shapes[name + ".weight"] = (config.hidden_size,)
    if config.family.norm == "layer":
        shapes[name + ".bias"] = (config.hidden_size,)


def harmless(config: ModelConfig, name: str) -> bool:
    """Tensors that checkpoints hold beside their weights: rotary frequencies, masks, a copy of a tied head, and what only
    pictures need."""
    return (
        name.endswith((".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"))
        or name.startswith(config.family.unread)
        or (config.tie_word_embeddings and name == config.family.names.head + ".weight")
    )
