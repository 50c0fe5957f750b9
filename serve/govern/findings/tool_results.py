"""Text from tools that tries to give orders: overrides of instructions, false roles, secrets sent out, and canaries that came out.

What is found is told, never taken away. A model may still follow what no pattern here finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from dovetail.serve.types import Severity

MOST_CHARACTERS = 400_000


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a tool's result. ``message``: which of the conversation, from 0; ``excerpt``: the text around it."""

    id: str
    severity: Severity
    description: str
    message: int
    tool: str = ""
    excerpt: str = ""


_SIGNS: tuple[tuple[str, Severity, str, str], ...] = (
    (
        "injection/override",
        "high",
        "It tells the model to forget its instructions.",
        r"\b(?:ignore|disregard|forget|override|do not follow|stop following)\b[^.\n]{0,40}\b(?:previous|prior|above|earlier|all|your|system|the)\b"
        r"[^.\n]{0,20}\b(?:instructions?|prompts?|rules|guidelines|directions)\b",
    ),
    (
        "injection/new-role",
        "high",
        "It gives the model another role, or speaks as the system.",
        r"(?:^|\n)\s*(?:#+\s*)?(?:new |updated |important |urgent )*(?:system|assistant|developer)\s*(?:message|prompt|instructions?|note|override)?\s*[:>\]]"
        r"|\byou are now (?:a|an|in|the|no longer)\b|\bfrom now on,? (?:you|act|ignore)\b|\b(?:enter|enable|activate) (?:developer|debug|god|dan) mode\b",
    ),
    (
        "injection/template-token",
        "high",
        "It holds marks by which chat templates tell who is speaking.",
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id|channel|message)\|>|\[/?INST\]|<</?SYS>>|<｜(?:User|Assistant)｜>|</tool_response>",
    ),
    (
        "injection/addresses-model",
        "medium",
        "It speaks to the model that reads it.",
        r"\b(?:dear|hey|hi|hello|attention|note to|message (?:for|to)|instructions? (?:for|to)) (?:the )?(?:ai|llm|language models?|assistants?|claude|chatgpt|gpt|copilot|coding agents?|agents?)\b"
        r"|\b(?:if you are|as) an? (?:ai|llm|language model|coding agent)\b[^.\n]{0,60}\b(?:must|should|please|run|send|call|do not)\b",
    ),
    (
        "injection/secret-sent-out",
        "high",
        "It asks for secrets to be sent somewhere.",
        r"\b(?:send|post|upload|exfiltrate|forward|email|leak|append|include)\b[^.\n]{0,60}\b(?:api[ _-]?keys?|passwords?|tokens?|secrets?|credentials|\.env|id_rsa|ssh keys?|system prompt|environment variables)\b"
        r"[^.\n]{0,60}\b(?:to|at|in|via)\b[^.\n]{0,40}(?:https?://|@|\burl\b|\bserver\b|\bwebhook\b)",
    ),
    (
        "injection/hides-from-user",
        "high",
        "It asks the model to keep something from its user.",
        r"\b(?:do not|don't|never|without) (?:tell|telling|mention|mentioning|inform|informing|reveal|show|notify|notifying|ask|asking)\b[^.\n]{0,30}\b(?:the )?(?:user|human|operator|developer)\b",
    ),
    (
        "injection/invisible-text",
        "medium",
        "It holds letters that nobody sees (Unicode tags, or text turned round).",
        "[\U000e0020-\U000e007f]{4,}|[\u202a-\u202e\u2066-\u2069].{0,200}[\u202c\u2069]|[\u200b\u200c\u200d\u2060]{6,}",
    ),
)
_COMPILED = [(id, severity, text, re.compile(pattern, re.IGNORECASE)) for id, severity, text, pattern in _SIGNS]


def suspicions(results: Iterable[tuple[int, str, str]]) -> list[Suspicion]:
    """What is found in tools' results, given as the message's number, the tool's name, and the text. The first of each kind."""
    return [each for number, tool, text in results for each in _in_result(number, tool, text[:MOST_CHARACTERS])]


def canaries(canary: str, results: Iterable[tuple[int, str, str]]) -> list[Suspicion]:
    """Where a word that only the system prompt holds came back by a tool: somebody outside knows that prompt."""
    description = "It holds the canary of the system prompt, which nobody outside should know."
    return [
        Suspicion(id="injection/canary", severity="critical", description=description, message=number, tool=tool)
        for number, tool, text in results
        if canary in text
    ]


def _in_result(number: int, tool: str, text: str) -> Iterator[Suspicion]:
    for id, severity, description, pattern in _COMPILED:
        match = pattern.search(text)
        if match is not None:
            excerpt = " ".join(text[max(0, match.start() - 40) : match.end() + 40].split())[:240]
            yield Suspicion(
                id=id, severity=severity, description=description, message=number, tool=tool, excerpt=excerpt
            )
