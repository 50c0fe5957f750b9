"""The one decoder-only transformer: every family is this with other numbers. Inference only.

Knows arithmetic over a ragged batch and a paged cache. Knows nothing of files, requests, sampling or block allotment.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.ops import (
    AngleTable,
    AttentionPlan,
    DecoderStep,
    StepShape,
    add_rms_norm,
    attend,
    plan_attention,
    prepare_qkv,
    rms_norm,
    rope_angles,
    silu_mul,
)
from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.config import ModelConfig
from dovetail.models.parameters import DecoderParameters, LayerParameters
from dovetail.models.rotary import rotary_frequencies


class Decoder:
    """A loaded model.

    Args:
        config: its shape.
        parameters: its weights, on one device; norms and biases have the type that is computed in.
    """

    def __init__(self, config: ModelConfig, parameters: DecoderParameters) -> None:
        self.config = config
        self._parameters = parameters
        frequencies, self._rope_scale = rotary_frequencies(config.rope, config.head_dim)
        self._frequencies = frequencies.to(parameters.final_norm.device)
        self._rounded = not all(layer.qkv.weight.exact for layer in parameters.layers)
        shape = StepShape(
            hidden=config.hidden_size,
            heads=config.num_heads,
            kv_heads=config.num_kv_heads,
            width=config.head_dim,
            inner=config.intermediate_size,
            eps=config.rms_norm_eps,
            attention_scale=config.attention_scale,
            windows=tuple(config.windows),
        )
        self._angles = AngleTable(self._frequencies, self._rope_scale)
        self._step = DecoderStep.prepare(parameters.layers, shape, parameters.final_norm, parameters.head)

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in. The cache has the same or a narrower one; the weights may be stored in fewer bits."""
        return self._parameters.final_norm.dtype

    @property
    def device(self) -> torch.device:
        """Where it runs; batch and cache must be there too."""
        return self._parameters.final_norm.device

    def forward(self, batch: RaggedBatch, cache: KVCache) -> Tensor:
        """Run the new tokens of every sequence, writing their keys and values into the cache.

        Args:
            batch: T new tokens; the cache already holds what came before them.
            cache: written in place at ``batch.slots``.

        Returns:
            float32 ``[R, vocab_size]``: logits of the rows in ``batch.logit_rows``.
        """
        x = self._parameters.embedding.rows(batch.token_ids).to(self.dtype)
        if self._step is None or not self._step.covers(batch, cache.keys[0]):
            return self._by_operators(x, batch, cache)
        plan, angles = plan_attention(batch, cache.block_size), self._angles.up_to(max(batch.context_lens))
        caches = (cache.keys, cache.values)
        return self._step.run(x, angles, batch.positions, batch.slots, plan, caches, batch.logit_rows)

    def _by_operators(self, x: Tensor, batch: RaggedBatch, cache: KVCache) -> Tensor:
        """The layers one operator at a time: on any device, and what the one call is tested against."""
        parameters, eps = self._parameters, self.config.rms_norm_eps
        angles = rope_angles(batch.positions, self._frequencies, self._rope_scale, self.dtype)
        plans = {
            window: plan_attention(batch, cache.block_size, window, self.device) for window in set(self.config.windows)
        }
        delta: Tensor | None = None  # what the last block adds: the sum is formed together with the norm that reads it
        for i, layer in enumerate(parameters.layers):
            if delta is None:
                normed = rms_norm(x, layer.input_norm, eps)
            else:
                x, normed = add_rms_norm(x, delta, layer.input_norm, eps)
            delta = self._attention(layer, normed, angles, batch.slots, cache, i, plans[self.config.windows[i]])
            x, normed = add_rms_norm(x, delta, layer.post_attention_norm, eps)
            delta = layer.down.apply(silu_mul(layer.gate_up.apply(normed)))
        if delta is not None:
            x = x + delta
        rows = rms_norm(x[batch.logit_rows], parameters.final_norm, eps)
        return parameters.head.apply(rows).to(torch.float32)

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
        norms = (
            (layer.query_norm, layer.key_norm) if layer.query_norm is not None and layer.key_norm is not None else None
        )
        keys, values = cache.keys[index], cache.values[index]
        q = prepare_qkv(layer.qkv.apply(x), norms, self.config.rms_norm_eps, angles, slots, keys, values)
        mixed = attend(q, keys, values, plan, self.config.attention_scale, rounded=self._rounded)
        return layer.output.apply(mixed.view(x.shape[0], self.config.query_size))
