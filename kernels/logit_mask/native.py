"""The C++ version of ``mask_logits``: one row takes half as long as in torch at 32,000 tokens, a quarter at 152,000."""

from __future__ import annotations

from ctypes import CDLL

import torch
from torch import Tensor


def mask_logits(native: CDLL, scores: Tensor, logits: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As the reference; all on the CPU, dense in their last dimension."""
    rows, width = logits.shape
    out, mass, counts = torch.empty((rows, width)), torch.empty(rows), torch.empty(rows, dtype=torch.long)
    native.dovetail_mask_logits(
        out.data_ptr(),
        mass.data_ptr(),
        counts.data_ptr(),
        scores.data_ptr(),
        scores.stride(0),
        logits.data_ptr(),
        logits.stride(0),
        words.data_ptr(),
        words.stride(0),
        rows,
        width,
        torch.get_num_threads(),
    )
    return out, mass, counts
