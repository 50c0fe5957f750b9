"""Packs matrices in about as many bits as their files hold them in. Knows the files' answers, and the kernels' layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from dovetail.kernels.ops import Linear, PackedWeight, Storage, is_gpu, pack_groups, pack_weight, quantise, store_groups
from dovetail.models.parameters import WeightFormat
from dovetail.models.quantised.grouped import Grouped, QuantisedSource

GROUPS = (32, 64, 128)
"""Lengths of groups that the kernels read."""
_EIGHT_BIT_GROUP = 32
"""As Q8_0 has it: its values come out of the packing unchanged."""


def kept_storage(bits: int) -> Storage | None:
    """What a matrix of so many bits is stored as; None: it is not quantised."""
    return "int4" if bits <= 5 else "int8" if bits <= 8 else None


def packed_as_stored(files: QuantisedSource, names: Sequence[str], weight_format: WeightFormat) -> Linear | None:
    """The named matrices one below the other, in the bits of the widest; None: one of them is not quantised.

    Four-bit values are taken over as they are, with scales and offsets rounded to the type that is computed in, on a CPU to bfloat16.
    """
    storage = kept_storage(max(files.bits(name) for name in names))
    if storage is None:
        return None
    device, group = weight_format.device, _EIGHT_BIT_GROUP if storage == "int8" else None
    whole = _grouped(files, names) if storage == "int4" else None
    if whole is None:
        weights = torch.cat([files.tensor(name).to(device, torch.float32) for name in names])
        if not is_gpu(device):
            return pack_weight(weights, storage, group, invariant=weight_format.invariant)
        made = quantise(weights.to(weight_format.compute), storage, group)
    elif not is_gpu(device):
        packed = pack_groups(whole.values, whole.scale, whole.offset, whole.group)
        assert isinstance(packed, PackedWeight)
        return replace(packed, invariant=weight_format.invariant)
    else:
        values, scale, offset = (part.to(device) for part in (whole.values, whole.scale, whole.offset))
        made = store_groups(values, scale, offset, whole.group, weight_format.compute)
    return replace(made, invariant=weight_format.invariant)


def _grouped(files: QuantisedSource, names: Sequence[str]) -> Grouped | None:
    """All of them in groups of one length that the kernels read; None: they are stored otherwise."""
    parts = [files.grouped(name) for name in names]
    known = [part for part in parts if part is not None]
    lengths = {part.group for part in known}
    return Grouped.stacked(known) if len(known) == len(parts) and len(lengths) == 1 and lengths <= set(GROUPS) else None
