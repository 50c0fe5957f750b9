"""The one decoder-only transformer: every family is this with other numbers. Inference only.

Knows arithmetic over a ragged batch and a paged cache. Knows nothing of files, requests, sampling or block allotment.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.ops import (
    AngleTable,
    AttentionPlan,
    Plan,
    attend,
    copy_slots,
    plan_attention,
    prepare_qkv,
    rope_angles,
)
from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.config import ModelConfig
from dovetail.models.one_call import prepare_step
from dovetail.models.parameters import DecoderParameters, LayerParameters
from dovetail.models.rotary import rotary_frequencies

Angles = tuple[Tensor, Tensor]


class Decoder:
    """A loaded model.

    Args:
        config: its shape.
        parameters: its weights, on one device; norms and biases have the type that is computed in.
        length: the longest context that it will be given; None: the longest that it was made for.
        deterministic: a row's result is the same bits whatever shares its batch; the weights must be held for that too.
    """

    def __init__(
        self,
        config: ModelConfig,
        parameters: DecoderParameters,
        length: int | None = None,
        *,
        deterministic: bool = False,
    ) -> None:
        self.config = config
        self.deterministic = deterministic
        self._parameters = parameters
        self._rounded = not all(layer.exact for layer in parameters.layers)
        ropes = list(dict.fromkeys(config.ropes))
        self._rope_of = [ropes.index(rope) for rope in config.ropes]
        length = self.length = length or config.max_position_embeddings
        self._frequencies: list[tuple[Tensor, float | Tensor]] = []
        for rope in ropes:
            each, factor = rotary_frequencies(rope, config.head_dim, length)
            factor = factor.to(self.device) if isinstance(factor, Tensor) else factor
            self._frequencies.append((each.to(self.device), factor))
        # The one call sums in another order than the operators, and does not take every batch.
        self._step = None if deterministic else prepare_step(config, parameters, self._rope_of)
        scale = config.scales.embedding
        self._embedding_scale = None if scale == 1 else torch.tensor(scale, dtype=self.dtype, device=self.device)
        self._tables = [AngleTable(*each) for each in self._frequencies]

    @property
    def weights(self) -> DecoderParameters:
        """What it computes with."""
        return self._parameters

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in. The cache has the same or a narrower one; the weights may be stored in fewer bits."""
        return self._parameters.compute

    @property
    def device(self) -> torch.device:
        """Where it runs; batch and cache must be there too."""
        return self._parameters.final_norm.tensors[0].device

    def forward(self, batch: RaggedBatch, cache: KVCache) -> Tensor:
        """Run the new tokens of every sequence, writing their keys and values into the cache.

        Args:
            batch: T new tokens; the cache already holds what came before them.
            cache: written in place at ``batch.slots``.

        Returns:
            float32 ``[R, vocab_size]``: logits of the rows in ``batch.logit_rows``.
        """
        x = self._embedded(batch)
        longest, growth = max(batch.context_lens), self.config.scales.growth
        grown = growth is not None and longest > growth[1]
        if self._step is None or grown or not self._step.covers(batch, cache.keys[0]):
            return self._scaled(self._by_operators(x, batch, cache))
        angles = [table.up_to(longest) for table in self._tables]
        plan = AttentionPlan(batch, cache.block_size, None)
        caches = (cache.keys, cache.values)
        logits = self._step.run(x, angles, batch.positions, batch.slots, plan, caches, batch.logit_rows, batch.copies)
        return self._scaled(logits)

    def _embedded(self, batch: RaggedBatch) -> Tensor:
        x = self._parameters.embedding.rows(batch.token_ids).to(self.dtype)
        if self._parameters.positions is not None:
            x = x + self._parameters.positions[batch.positions]
        return x if self._embedding_scale is None else x * self._embedding_scale

    def _scaled(self, logits: Tensor) -> Tensor:
        scales = self.config.scales
        if scales.logits != 1:
            logits = logits * scales.logits
        if scales.logit_softcap is not None:
            logits = torch.tanh(logits / scales.logit_softcap) * scales.logit_softcap
        return logits

    def _by_operators(self, x: Tensor, batch: RaggedBatch, cache: KVCache) -> Tensor:
        """The layers one operator at a time: on any device, and what the one call is tested against."""
        parameters = self._parameters
        angles = [rope_angles(batch.positions, each, by, self.dtype) for each, by in self._frequencies]
        plans = {
            window: plan_attention(
                batch,
                cache.block_size,
                window,
                self.device,
                lengths=batch.lengths,
                invariant=self.deterministic,
            )
            for window in set(self.config.windows)
        }
        growth = self._growth(batch.positions)
        delta: Tensor | None = None  # what the last block adds: the sum is formed together with the norm that reads it
        for i, layer in enumerate(parameters.layers):
            if delta is None:
                normed = layer.input_norm.apply(x)
            else:
                x, normed = layer.input_norm.add(x, delta)
            plan = plans[self.config.windows[i]]
            delta = self._attention(layer, normed, angles[self._rope_of[i]], batch, cache, i, plan, growth)
            if layer.attention_added_norm is not None:
                delta = layer.attention_added_norm.apply(delta)
            x, normed = layer.post_attention_norm.add(x, self._weakened(delta))
            delta = layer.mlp.apply(normed)
            if layer.mlp_added_norm is not None:
                delta = layer.mlp_added_norm.apply(delta)
            delta = self._weakened(delta)
        if delta is not None:
            x = x + delta
        return parameters.head.apply(parameters.final_norm.apply(x[batch.logit_rows])).to(torch.float32)

    def _growth(self, positions: Tensor) -> Tensor | None:
        """The factor on each row's queries, ``[T, 1, 1]``; None: 1."""
        if self.config.scales.growth is None:
            return None
        strength, length = self.config.scales.growth
        return (1 + strength * torch.log1p((positions // length).to(torch.float32))).to(self.dtype).view(-1, 1, 1)

    def _weakened(self, delta: Tensor) -> Tensor:
        scale = self.config.scales.residual
        return delta if scale == 1 else delta * scale

    def _attention(
        self,
        layer: LayerParameters,
        x: Tensor,
        angles: Angles,
        batch: RaggedBatch,
        cache: KVCache,
        index: int,
        plan: Plan,
        growth: Tensor | None,
    ) -> Tensor:
        """``[T, hidden]`` to ``[T, hidden]``."""
        config = self.config
        norms = (
            (layer.query_norm, layer.key_norm) if layer.query_norm is not None and layer.key_norm is not None else None
        )
        keys, values = cache.keys[index], cache.values[index]
        q = prepare_qkv(layer.qkv.apply(x), norms, config.norm_eps, angles, batch.slots, keys, values)
        if batch.copies is not None:
            copy_slots(keys, values, *batch.copies)
        q = q if growth is None else q * growth
        mixed = attend(
            q,
            keys,
            values,
            plan,
            config.attention_scale,
            rounded=self._rounded,
            softcap=config.scales.score_softcap,
            sinks=layer.sinks,
        )
        return layer.output.apply(mixed.view(x.shape[0], config.query_size))
