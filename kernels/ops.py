"""The operations the models are written in. This file picks each implementation, once; callers never choose.

Only the torch references exist so far.
"""

from __future__ import annotations

from dovetail.kernels.attention.batch import AttentionBatch
from dovetail.kernels.attention.reference import AttentionPlan, attend, paged_attention, plan_attention, write_kv
from dovetail.kernels.rms_norm.reference import rms_norm
from dovetail.kernels.rope.reference import apply_rope, rope_angles
from dovetail.kernels.silu_mul.reference import silu_mul

__all__ = [
    "AttentionBatch",
    "AttentionPlan",
    "apply_rope",
    "attend",
    "paged_attention",
    "plan_attention",
    "rms_norm",
    "rope_angles",
    "silu_mul",
    "write_kv",
]
