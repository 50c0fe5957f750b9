"""The architectures Dovetail's own engine runs, by the name config.json gives in ``architectures[0]``."""

from __future__ import annotations

from dovetail.models.families.family import Family
from dovetail.models.families.llama import LLAMA
from dovetail.models.families.mistral import MISTRAL
from dovetail.models.families.qwen2 import QWEN2
from dovetail.models.families.qwen3 import QWEN3

FAMILIES: dict[str, Family] = {family.architecture: family for family in (LLAMA, MISTRAL, QWEN2, QWEN3)}

__all__ = ["FAMILIES", "Family"]
