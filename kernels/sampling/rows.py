"""What a row's draw depends on, as tensors on the logits' device. Knows no request."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SampleRows:
    """R draws. A row whose ``temperature`` is 0 takes its likeliest token.

    ``temperatures``, ``top_ps``, ``min_ps``, ``uniforms``: float32 ``[R]``; ``top_ks``: int32 ``[R]``, 0: no limit.
    ``words``: int32 ``[N, (V + 31) // 32]``, bit masks as in kernels/logit_mask; ``mask_of``: int32 ``[R]``, the row's mask, -1: none.
    """

    temperatures: Tensor
    top_ks: Tensor
    top_ps: Tensor
    min_ps: Tensor
    uniforms: Tensor
    words: Tensor
    mask_of: Tensor


@dataclass(frozen=True)
class Drawn:
    """``tokens``: int64 ``[R]``. ``masses``: float32 ``[R]``, the log of the probability that the mask left. ``counts``: int64
    ``[R]``, how many tokens it left; where that is 0, the token means nothing."""

    tokens: Tensor
    masses: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Adjustments:
    """Changes of single logits, rows one after another: row ``r`` owns entries ``starts[r]:starts[r + 1]``, each token once.

    A positive logit is divided by its entry of ``divisors``, a negative one multiplied; then ``addends`` are added.
    ``starts``: int32 ``[R + 1]``; ``tokens``: int32 ``[N]``; ``divisors``, ``addends``: float32 ``[N]``.
    """

    starts: Tensor
    tokens: Tensor
    divisors: Tensor
    addends: Tensor
