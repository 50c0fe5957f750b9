"""The architectures Dovetail's own engine runs, by the name config.json gives in ``architectures[0]``."""

from __future__ import annotations

from dovetail.models.families.family import Family
from dovetail.models.families.gemma import GEMMA2, GEMMA3
from dovetail.models.families.gpt_bigcode import GPT_BIGCODE
from dovetail.models.families.gpt_oss import GPT_OSS
from dovetail.models.families.granite import GRANITE
from dovetail.models.families.llama import LLAMA
from dovetail.models.families.mistral import MINISTRAL3, MISTRAL
from dovetail.models.families.phi3 import PHI3
from dovetail.models.families.qwen2 import QWEN2
from dovetail.models.families.qwen3 import QWEN3
from dovetail.models.families.qwen3_moe import QWEN3_MOE
from dovetail.models.families.smollm3 import SMOLLM3
from dovetail.models.families.starcoder2 import STARCODER2

FAMILIES: dict[str, Family] = {
    family.architecture: family
    for family in (
        LLAMA,
        MISTRAL,
        MINISTRAL3,
        QWEN2,
        QWEN3,
        QWEN3_MOE,
        STARCODER2,
        GPT_BIGCODE,
        GRANITE,
        PHI3,
        GEMMA2,
        GEMMA3,
        SMOLLM3,
        GPT_OSS,
    )
}

TEXT_OF: dict[str, dict[str, Family]] = {
    architecture: {kind: family.within(architecture) for kind, family in texts.items()}
    for architecture, texts in {
        "Gemma3ForConditionalGeneration": {"gemma3_text": GEMMA3},
        "Mistral3ForConditionalGeneration": {"mistral": MISTRAL, "ministral3": MINISTRAL3},
    }.items()
}
"""The text models of architectures that also read pictures, by ``model_type`` in their ``text_config``. Pictures are refused."""

__all__ = ["FAMILIES", "TEXT_OF", "Family"]
