"""Which dialect a model speaks, told by its chat template and its special tokens. Knows no weights."""

from __future__ import annotations

from collections.abc import Collection

from dovetail.models.dialects import mistral
from dovetail.models.dialects.deepseek import DeepSeek
from dovetail.models.dialects.family import Family
from dovetail.models.dialects.glm import Glm
from dovetail.models.dialects.granite import Granite
from dovetail.models.dialects.harmony import Harmony
from dovetail.models.dialects.hermes import Hermes
from dovetail.models.dialects.kimi import Kimi
from dovetail.models.dialects.llama import Llama
from dovetail.models.dialects.pythonic import Pythonic
from dovetail.models.dialects.qwen_coder import QwenCoder
from dovetail.models.dialects.reading import THINK


def family_of(template: str, special: Collection[str]) -> Family:
    """The family by the marks of its calls in ``template``; Hermes where none is known."""
    if "<|channel|>" in template and "<|message|>" in template:
        return Harmony()
    if "[TOOL_CALLS]" in template:
        return mistral.Mistral(named="[ARGS]" in template or "[ARGS]" in special)
    if "tool▁calls▁begin" in template:
        return DeepSeek(fenced="```json" in template)
    if "<|tool_calls_section_begin|>" in template:
        return Kimi()
    if "<arg_key>" in template:
        return Glm(lines="</arg_key>\n" in template or "</arg_key><arg_value>" not in template)
    if "<function=" in template and "<parameter=" in template:
        return QwenCoder()
    if "<|tool_call|>" in template and "<|/tool_call|>" not in template:
        return Granite()
    if "<tool_call>" in template:
        return Hermes()
    if "<|python_start|>" in template or "[func_name1(" in template:
        return Pythonic()
    if "<|python_tag|>" in template or ('"parameters": dictionary' in template and "ipython" in template):
        return Llama()
    return Hermes()


def think_of(template: str, special: Collection[str]) -> tuple[str, str] | None:
    """What opens and closes reasoning; None for models without."""
    if "<think>" in template or "</think>" in template:
        return THINK
    if mistral.THINK[0] in template or mistral.THINK[0] in special:
        return mistral.THINK
    return None
