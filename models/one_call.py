"""Whether all layers of a decoder can be run by one call into the C++ library, and what that call is told of them.

It has pre-normalised attention and a gated SiLU MLP; other layers go by operators (models/decoder.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.kernels.ops import DecoderStep, StepLayer, StepShape
from dovetail.models.config import ModelConfig
from dovetail.models.mlp import GatedMlp
from dovetail.models.norms import RmsNorm
from dovetail.models.parameters import DecoderParameters, LayerParameters


def prepare_step(config: ModelConfig, parameters: DecoderParameters, rope_of: Sequence[int]) -> DecoderStep | None:
    """None where a layer has what the call does not have. ``rope_of``: the number of each layer's table of angles."""
    final = parameters.final_norm
    layers = [
        _layer(layer, window, rope)
        for layer, window, rope in zip(parameters.layers, config.windows, rope_of, strict=True)
    ]
    plain = [layer for layer in layers if layer is not None]
    inner = {layer.down.weight.shape[1] for layer in plain}
    if len(plain) < len(layers) or len(inner) != 1 or not isinstance(final, RmsNorm):
        return None
    if config.scales.score_softcap is not None:
        return None
    shape = StepShape(
        hidden=config.hidden_size,
        heads=config.num_heads,
        kv_heads=config.num_kv_heads,
        width=config.head_dim,
        inner=inner.pop(),
        eps=config.norm_eps,
        attention_scale=config.attention_scale,
        residual_scale=config.scales.residual,
        tables=max(rope_of) + 1,
    )
    return DecoderStep.prepare(plain, shape, final.weight, parameters.head)


def _layer(layer: LayerParameters, window: int | None, rope: int) -> StepLayer | None:
    mlp = layer.mlp
    if not isinstance(mlp, GatedMlp) or mlp.activation != "silu" or layer.sinks is not None:
        return None
    if layer.attention_added_norm is not None or layer.mlp_added_norm is not None:
        return None
    if not isinstance(layer.input_norm, RmsNorm) or not isinstance(layer.post_attention_norm, RmsNorm):
        return None
    return StepLayer(
        input_norm=layer.input_norm.weight,
        qkv=layer.qkv,
        query_norm=layer.query_norm,
        key_norm=layer.key_norm,
        output=layer.output,
        post_attention_norm=layer.post_attention_norm.weight,
        gate_up=mlp.gate_up,
        down=mlp.down,
        window=window,
        angles=rope,
    )
