"""The operations the models are written in. This file picks each implementation; callers never choose.

The C++ kernels take dense float32 on the CPU, if the library is there (kernels/cpu/library.py); the Triton kernels take what is on a
CUDA device, if Triton is there (kernels/gpu.py); everything else is the torch reference. Weights (kernels/linear) and attention
plans carry their choice with them. On the CPU, attention with a soft cap or sinks is C++ for few rows of a sequence and torch for
many; experts and GELU are torch around C++ matrices (models/mlp.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.attention import native as attention_native
from dovetail.kernels.attention import reference as attention_reference
from dovetail.kernels.attention.batch import AttentionBatch
from dovetail.kernels.attention.device_plan import DeviceLengths, DevicePlan
from dovetail.kernels.attention.native import AttentionPlan
from dovetail.kernels.attention.reference import write_kv
from dovetail.kernels.cpu.library import instruction_set, library
from dovetail.kernels.decoder_step.layer import StepLayer, StepShape
from dovetail.kernels.decoder_step.native import DecoderStep
from dovetail.kernels.gpu import Fetched, available, is_gpu, on_gpu, upload
from dovetail.kernels.linear.device import DeviceWeight, quantise, store_groups, unpack
from dovetail.kernels.linear.grouped import pack_groups
from dovetail.kernels.linear.packed import STORAGES, Storage, packed_bytes
from dovetail.kernels.linear.weight import DenseWeight, Linear, PackedWeight, pack_weight
from dovetail.kernels.logit_mask import native as logit_mask_native
from dovetail.kernels.logit_mask import reference as logit_mask_reference
from dovetail.kernels.moe import reference as moe_reference
from dovetail.kernels.moe.reference import Experts
from dovetail.kernels.moe.stored import StoredExperts
from dovetail.kernels.qkv import native as qkv_native
from dovetail.kernels.qkv import reference as qkv_reference
from dovetail.kernels.rms_norm import native as rms_norm_native
from dovetail.kernels.rms_norm import reference as rms_norm_reference
from dovetail.kernels.rope.reference import apply_rope, rope_angles
from dovetail.kernels.rope.table import AngleTable
from dovetail.kernels.sampling.rows import Adjustments, Drawn, SampleRows
from dovetail.kernels.silu_mul import native as silu_mul_native
from dovetail.kernels.silu_mul import reference as silu_mul_reference

Plan = AttentionPlan | DevicePlan
"""What is the same for every layer with the same window."""

__all__ = [
    "STORAGES",
    "AngleTable",
    "AttentionBatch",
    "AttentionPlan",
    "DecoderStep",
    "DenseWeight",
    "Linear",
    "PackedWeight",
    "StepLayer",
    "StepShape",
    "Storage",
    "add_rms_norm",
    "apply_rope",
    "attend",
    "copy_slots",
    "describe",
    "mask_logits",
    "pack_groups",
    "pack_weight",
    "packed_bytes",
    "paged_attention",
    "plan_attention",
    "prepare_qkv",
    "rms_norm",
    "rope_angles",
    "silu_mul",
    "DeviceLengths",
    "DeviceWeight",
    "Experts",
    "Fetched",
    "Plan",
    "describe_gpu",
    "has_cpu_kernels",
    "is_gpu",
    "mix_experts",
    "on_gpu",
    "plain_weight",
    "quantise",
    "store_groups",
    "Adjustments",
    "Drawn",
    "SampleRows",
    "StoredExperts",
    "adjust_logits",
    "draw_tokens",
    "upload",
    "write_kv",
]


def describe() -> str:
    """Which kernels are in use, in one line for a log."""
    found = instruction_set()
    if found is None:
        return "torch only: the C++ kernels are not built (pip install -e . with a C++ compiler builds them)"
    return f"C++ kernels ({found}) for all of a decoder's layers on the CPU; torch for the rest"


def has_cpu_kernels() -> bool:
    """Whether the C++ kernels are there."""
    return library() is not None


def describe_gpu() -> str:
    """The same, for a model on a CUDA device."""
    return "Triton kernels" if available() else "torch only: Triton is not installed (pip install triton)"


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """See kernels/rms_norm/reference.py."""
    if on_gpu(x):
        from dovetail.kernels.rms_norm import triton as rms_norm_triton

        return rms_norm_triton.rms_norm(x, weight, eps)
    native = library()
    if native is None or x.dim() != 2 or x.stride(1) != 1 or not (_plain(x) and _plain(weight)):
        return rms_norm_reference.rms_norm(x, weight, eps)
    return rms_norm_native.rms_norm(native, x, weight, eps)


def add_rms_norm(x: Tensor, delta: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """See kernels/rms_norm/reference.py."""
    if on_gpu(x):
        from dovetail.kernels.rms_norm import triton as rms_norm_triton

        return rms_norm_triton.add_rms_norm(x, delta, weight, eps)
    native = library()
    if native is None or x.dim() != 2 or not (_dense(x) and _dense(delta) and _plain(weight)):
        return rms_norm_reference.add_rms_norm(x, delta, weight, eps)
    return rms_norm_native.add_rms_norm(native, x, delta, weight, eps)


def silu_mul(gate_up: Tensor) -> Tensor:
    """See kernels/silu_mul/reference.py."""
    if on_gpu(gate_up):
        from dovetail.kernels.silu_mul import triton as silu_mul_triton

        return silu_mul_triton.silu_mul(gate_up)
    native = library()
    if native is None or gate_up.dim() != 2 or not _dense(gate_up):
        return silu_mul_reference.silu_mul(gate_up)
    return silu_mul_native.silu_mul(native, gate_up)


def mask_logits(scores: Tensor, logits: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See kernels/logit_mask/reference.py."""
    native = library()
    rows = (scores, logits, words)
    if native is None or any(each.stride(-1) != 1 for each in rows) or not (_plain(scores) and _plain(logits)):
        return logit_mask_reference.mask_logits(scores, logits, words)
    return logit_mask_native.mask_logits(native, scores, logits, words)


def plain_weight(weight: Linear) -> Tensor:
    """Its matrix as a tensor of the type that is computed in; of a weight that is on a device."""
    if isinstance(weight, DeviceWeight):
        return unpack(weight)
    assert isinstance(weight, DenseWeight), "packed for the CPU"
    return weight.weight


def adjust_logits(logits: Tensor, changes: Adjustments) -> None:
    """See kernels/sampling/reference.py; on a GPU."""
    from dovetail.kernels.sampling import triton as sampling_triton

    sampling_triton.adjust(logits, changes)


def draw_tokens(logits: Tensor, raw: Tensor, rows: SampleRows) -> Drawn:
    """See kernels/sampling/reference.py; on a GPU."""
    from dovetail.kernels.sampling import triton as sampling_triton

    return sampling_triton.draw(logits, raw, rows)


def prepare_qkv(
    qkv: Tensor,
    norms: tuple[Tensor, Tensor] | None,
    eps: float,
    angles: tuple[Tensor, Tensor],
    slots: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
) -> Tensor:
    """See kernels/qkv/reference.py."""
    if on_gpu(qkv):
        from dovetail.kernels.qkv import triton as qkv_triton

        return qkv_triton.prepare_qkv(qkv, norms, eps, angles, slots, k_cache, v_cache)
    native = library()
    if native is None or not all(map(_dense, (qkv, *angles, k_cache, v_cache, *(norms or ())))):
        return qkv_reference.prepare_qkv(qkv, norms, eps, angles, slots, k_cache, v_cache)
    return qkv_native.prepare_qkv(native, qkv, norms, eps, angles, slots, k_cache, v_cache)


def mix_experts(x: Tensor, chosen: Tensor, shares: Tensor, experts: Experts, *, invariant: bool = False) -> Tensor:
    """See kernels/moe/reference.py; ``invariant``: a row's result is the same bits whatever shares its batch."""
    if on_gpu(x):
        from dovetail.kernels.moe import triton as moe_triton

        return moe_triton.mix_experts(x, chosen, shares, experts, invariant=invariant)
    return moe_reference.mix_experts(x, chosen, shares, experts)


def plan_attention(
    batch: AttentionBatch,
    block_size: int,
    window: int | None = None,
    device: torch.device | str = "cpu",
    *,
    lengths: DeviceLengths | None = None,
    invariant: bool = False,
) -> Plan:
    """What every layer with this window shares; arguments as in kernels/attention/reference.py.

    ``lengths``: the batch's, where they are on a GPU already. ``invariant``: a row's result is the same bits whatever shares its
    batch, however its prompt was cut into chunks.
    """
    if is_gpu(device):
        return DevicePlan.of(batch, window, device, lengths=lengths, invariant=invariant)
    return AttentionPlan(batch, block_size, window, device, invariant=invariant)


def attend(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    plan: Plan,
    scale: float,
    *,
    rounded: bool = False,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """See kernels/attention/reference.py; ``rounded``: prompts may be computed with bfloat16 operands where that is faster."""
    if isinstance(plan, DevicePlan):
        from dovetail.kernels.attention import triton as attention_triton

        return attention_triton.attend(q, k_cache, v_cache, plan, scale, softcap=softcap, sinks=sinks)
    return attention_native.attend(q, k_cache, v_cache, plan, scale, rounded=rounded, softcap=softcap, sinks=sinks)


def copy_slots(k_cache: Tensor, v_cache: Tensor, sources: Tensor, targets: Tensor) -> None:
    """See kernels/attention/reference.py; keys and values of a layer alike."""
    if on_gpu(k_cache):
        from dovetail.kernels.attention import triton as attention_triton

        attention_triton.copy_slots(k_cache, v_cache, sources, targets)
        return
    for cache in (k_cache, v_cache):
        attention_reference.copy_slots(cache, sources, targets)


def paged_attention(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    batch: AttentionBatch,
    scale: float,
    window: int | None = None,
    *,
    rounded: bool = False,
) -> Tensor:
    """:func:`plan_attention` and :func:`attend` in one call."""
    plan = plan_attention(batch, k_cache.shape[1], window, k_cache.device)
    return attend(q, k_cache, v_cache, plan, scale, rounded=rounded)


def _plain(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu"


def _dense(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu" and x.is_contiguous()
