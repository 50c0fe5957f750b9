"""Tokens and chat template against transformers. Knows no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dovetail.models.chat import ChatTemplate
from dovetail.models.check.finding import Finding
from dovetail.models.check.samples import CONVERSATIONS, TEXTS
from dovetail.models.errors import ChatTemplateError
from dovetail.models.tokenizer import Tokenizer


def check_tokens(tokenizer: Tokenizer, reference: Any) -> Finding:
    """Whether texts have the ids that transformers gives them, and ids the bytes of their text."""
    count = 0
    for text in TEXTS:
        ids = tokenizer.encode(text)
        count += len(ids)
        expected = reference.encode(text, add_special_tokens=False)
        if ids != expected:
            return Finding("tokens", False, f"{_short(text)} is {_first(ids, expected)}")
        spelled = b"".join(tokenizer.token_bytes(token) or b"" for token in ids)
        spelled = spelled[1:] if tokenizer.adds_space and text else spelled
        if spelled != text.encode():
            return Finding("tokens", False, f"the bytes of {_short(text)} came back as {spelled[:60]!r}")
    return Finding("tokens", True, f"{len(TEXTS)} texts, {count} tokens: the same ids, and their bytes are the texts")


def check_template(directory: Path, tokenizer: Tokenizer, reference: Any) -> Finding:
    """Whether conversations become the prompts that transformers makes of them, as text and as ids."""
    template = ChatTemplate.load(directory, tokenizer)
    if template is None or not reference.chat_template:
        said = "transformers has one and we found none" if reference.chat_template else "the model has none"
        return Finding("template", False if reference.chat_template else None, said)
    done = 0
    for conversation in CONVERSATIONS:
        ours, theirs = _rendered(template, conversation), _reference_prompt(reference, conversation)
        if ours is None and theirs is None:
            continue  # such as a system message, which some templates refuse
        if ours is None or theirs is None:
            return Finding(
                "template", False, f"only {'transformers' if ours is None else 'Dovetail'} takes {conversation}"
            )
        if ours != theirs:
            at = next(
                (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
            )
            return Finding("template", False, f"{ours[at : at + 40]!r} where transformers has {theirs[at : at + 40]!r}")
        ids, expected = tokenizer.encode_rendered(ours), reference.encode(theirs, add_special_tokens=False)
        if ids != expected:
            return Finding("template", False, f"the same text is {_first(ids, expected)}")
        done += 1
    return Finding("template", True, f"{done} conversations: the same prompts, the same ids")


def _rendered(template: ChatTemplate, conversation: list[dict[str, Any]]) -> str | None:
    try:
        return template.render(conversation)
    except ChatTemplateError:
        return None


def _reference_prompt(reference: Any, conversation: list[dict[str, Any]]) -> str | None:
    from jinja2 import TemplateError

    try:
        return str(reference.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))
    except TemplateError:
        return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _first(ids: list[int], expected: list[int]) -> str:
    at = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), min(len(ids), len(expected)))
    return f"{ids[at : at + 5]} from token {at} on, where transformers has {expected[at : at + 5]}"
