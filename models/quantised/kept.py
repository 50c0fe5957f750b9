"""Packs matrices in about as many bits as their files hold them in. Knows the files' answers, and the kernels' layouts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dovetail.kernels.ops import Linear, Storage, pack_groups, pack_weight
from dovetail.models.quantised.grouped import Grouped, QuantisedSource

GROUPS = (32, 64, 128)
"""Lengths of groups that the kernels read."""
_EIGHT_BIT_GROUP = 32
"""As Q8_0 has it: its values come out of the packing unchanged."""


def kept_storage(bits: int) -> Storage | None:
    """What a matrix of so many bits is stored as; None: it is not quantised."""
    return "int4" if bits <= 5 else "int8" if bits <= 8 else None


def packed_as_stored(files: QuantisedSource, names: Sequence[str]) -> Linear | None:
    """The named matrices one below the other, in the bits of the widest; None: one of them is not quantised.

    Four-bit values are taken over as they are, with scales and offsets rounded to bfloat16.
    """
    storage = kept_storage(max(files.bits(name) for name in names))
    if storage is None:
        return None
    if storage == "int4":
        parts = [files.grouped(name) for name in names]
        known = [part for part in parts if part is not None]
        if (
            len(known) == len(parts)
            and {part.group for part in known} <= set(GROUPS)
            and len({p.group for p in known}) == 1
        ):
            whole = Grouped.stacked(known)
            return pack_groups(whole.values, whole.scale, whole.offset, whole.group)
    weights = torch.cat([files.tensor(name).to(torch.float32) for name in names])
    return pack_weight(weights, storage, _EIGHT_BIT_GROUP if storage == "int8" else None)
