"""One forward pass's input, and the paged key-value cache. Knows nothing of requests, sampling or block allotment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dovetail.kernels.ops import DeviceLengths
from dovetail.models.config import ModelConfig


@dataclass(frozen=True)
class RaggedBatch:
    """S sequences, each bringing one or more new tokens, their T rows concatenated.

    A sequence's new tokens are its last ones: row ``i`` of ``n`` sits at position ``context_len - n + i``. All tensors
    live on the model's device.
    """

    token_ids: Tensor
    """int64 ``[T]``: every sequence's new tokens."""
    positions: Tensor
    """int64 ``[T]``: the position of each token in its sequence."""
    slots: Tensor
    """int64 ``[T]``: where each token's key and value go, ``block * block_size + offset``."""
    query_starts: tuple[int, ...]
    """S + 1 row offsets."""
    context_lens: tuple[int, ...]
    """S key-value lengths, the new tokens included."""
    block_tables: Tensor
    """int64 ``[S, max_blocks]``: each sequence's blocks in order, padded with 0."""
    logit_rows: Tensor
    """int64 ``[R]``: the rows whose logits are wanted."""
    copies: tuple[Tensor, Tensor] | None = None
    """int64 ``[C]``, twice: once a layer has written its keys and values, what is in the first slots goes to the second."""
    lengths: DeviceLengths | None = None
    """The offsets and lengths where they are on a GPU already."""


@dataclass
class KVCache:
    """Keys and values of every layer, each ``[num_blocks, block_size, kv_heads, head_dim]``."""

    keys: list[Tensor]
    values: list[Tensor]
    block_size: int
    num_blocks: int

    @classmethod
    def allocate(
        cls,
        config: ModelConfig,
        num_blocks: int,
        block_size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> KVCache:
        """A cache of ``num_blocks`` blocks of ``block_size`` tokens per layer.

        Its memory is not initialised: no slot is read before it is written, and the system gives pages only as they are
        touched, so a large cache costs nothing until it is used.
        """
        shape = (num_blocks, block_size, config.num_kv_heads, config.head_dim)
        return cls(
            keys=[torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_layers)],
            values=[torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_layers)],
            block_size=block_size,
            num_blocks=num_blocks,
        )
