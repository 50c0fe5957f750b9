"""The block formats of GGUF tensors: how many weights take how many bytes. Needs no torch.

A row of a tensor is a sequence of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BlockFormat:
    """``weights`` of a block take ``nbytes``. ``bits``: of a weight, without what is shared."""

    name: str
    weights: int
    nbytes: int
    bits: int


FORMATS: dict[int, BlockFormat] = {
    0: BlockFormat("F32", 1, 4, 32),
    1: BlockFormat("F16", 1, 2, 16),
    2: BlockFormat("Q4_0", 32, 18, 4),
    3: BlockFormat("Q4_1", 32, 20, 4),
    8: BlockFormat("Q8_0", 32, 34, 8),
    12: BlockFormat("Q4_K", 256, 144, 4),
    14: BlockFormat("Q6_K", 256, 210, 6),
    30: BlockFormat("BF16", 1, 2, 16),
}
"""By ggml's number."""
