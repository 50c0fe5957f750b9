"""The one decoder-only transformer: every family is this with other numbers. Inference only.

Knows arithmetic over a ragged batch and a paged cache. Knows nothing of files, requests, sampling or block allotment.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.ops import (
    AttentionPlan,
    apply_rope,
    attend,
    plan_attention,
    rms_norm,
    rope_angles,
    silu_mul,
    write_kv,
)
from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.config import ModelConfig
from dovetail.models.parameters import DecoderParameters, LayerParameters, Projection
from dovetail.models.rotary import rotary_frequencies


class Decoder:
    """A loaded model.

    Args:
        config: its shape.
        parameters: its weights, all of one type on one device.
    """

    def __init__(self, config: ModelConfig, parameters: DecoderParameters) -> None:
        self.config = config
        self._parameters = parameters
        frequencies, self._rope_scale = rotary_frequencies(config.rope, config.head_dim)
        self._frequencies = frequencies.to(parameters.embedding.device)

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in; the cache must have the same."""
        return self._parameters.embedding.dtype

    @property
    def device(self) -> torch.device:
        """Where it runs; batch and cache must be there too."""
        return self._parameters.embedding.device

    @torch.no_grad()
    def forward(self, batch: RaggedBatch, cache: KVCache) -> Tensor:
        """Run the new tokens of every sequence, writing their keys and values into the cache.

        Args:
            batch: T new tokens; the cache already holds what came before them.
            cache: written in place at ``batch.slots``.

        Returns:
            float32 ``[R, vocab_size]``: logits of the rows in ``batch.logit_rows``.
        """
        parameters, eps = self._parameters, self.config.rms_norm_eps
        plans = {
            window: plan_attention(batch, cache.block_size, window, self.device) for window in set(self.config.windows)
        }
        angles = rope_angles(batch.positions, self._frequencies, self._rope_scale, self.dtype)
        x = F.embedding(batch.token_ids, parameters.embedding)
        for i, layer in enumerate(parameters.layers):
            normed = rms_norm(x, layer.input_norm, eps)
            x = x + self._attention(layer, normed, angles, batch.slots, cache, i, plans[self.config.windows[i]])
            x = x + self._mlp(layer, rms_norm(x, layer.post_attention_norm, eps))
        rows = rms_norm(x[batch.logit_rows], parameters.final_norm, eps)
        return F.linear(rows, parameters.head).to(torch.float32)

    def _attention(
        self,
        layer: LayerParameters,
        x: Tensor,
        angles: tuple[Tensor, Tensor],
        slots: Tensor,
        cache: KVCache,
        index: int,
        plan: AttentionPlan,
    ) -> Tensor:
        """``[T, hidden]`` to ``[T, hidden]``."""
        config = self.config
        rows = x.shape[0]
        q, k, v = torch.split(_project(x, layer.qkv), [config.query_size, config.kv_size, config.kv_size], dim=-1)
        q = q.reshape(rows, config.num_heads, config.head_dim)
        k = k.reshape(rows, config.num_kv_heads, config.head_dim)
        v = v.reshape(rows, config.num_kv_heads, config.head_dim)
        if layer.query_norm is not None and layer.key_norm is not None:
            q, k = rms_norm(q, layer.query_norm, config.rms_norm_eps), rms_norm(k, layer.key_norm, config.rms_norm_eps)
        q, k = apply_rope(q, *angles), apply_rope(k, *angles)
        write_kv(k, v, cache.keys[index], cache.values[index], slots)
        mixed = attend(q, cache.keys[index], cache.values[index], plan, config.attention_scale)
        return _project(mixed.view(rows, config.query_size), layer.output)

    def _mlp(self, layer: LayerParameters, x: Tensor) -> Tensor:
        """``[T, hidden]`` to ``[T, hidden]``."""
        return _project(silu_mul(_project(x, layer.gate_up)), layer.down)


def _project(x: Tensor, projection: Projection) -> Tensor:
    return F.linear(x, projection.weight, projection.bias)
