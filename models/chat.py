"""A model's chat template: messages to prompt text. Knows where templates are kept; not what messages mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dovetail.models.errors import ChatTemplateError, ModelDirectoryError
from dovetail.models.fields import read_optional_json
from dovetail.models.sandbox import SandboxedTemplate
from dovetail.models.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "ChatTemplateError"]

TOKEN_VARIABLES = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatTemplate:
    """Renders chats for one model.

    Args:
        source: the jinja2 template.
        where: names its file in errors.
        tokenizer: shields the users' strings, so that their special tokens stay text.
        tokens: special-token strings that templates may ask for, such as ``bos_token``.
        with_tools: a template of its own for chats that offer tools, if the model has one.

    Attributes:
        source: the text of all its templates.
    """

    def __init__(
        self, source: str, where: str, tokenizer: Tokenizer, tokens: Mapping[str, str], with_tools: str | None = None
    ) -> None:
        self._tokens = dict(tokens)
        self.source = f"{source}\n{with_tools}" if with_tools else source
        self._template = SandboxedTemplate(source, where, tokenizer.shield)
        self._with_tools = SandboxedTemplate(with_tools, where, tokenizer.shield) if with_tools else self._template

    @classmethod
    def load(cls, path: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
        """The template of a model directory, from chat_template.jinja or tokenizer_config.json; None if it has none.

        Raises:
            ModelDirectoryError: the template is damaged.
        """
        config_path = path / "tokenizer_config.json"
        config = read_optional_json(config_path)
        tokens = {name: content for name in TOKEN_VARIABLES if (content := _content(config.get(name)))}
        own_file = path / "chat_template.jinja"
        if own_file.is_file():
            extra = path / "additional_chat_templates" / "tool_use.jinja"
            with_tools = extra.read_text(encoding="utf-8") if extra.is_file() else None
            return cls(own_file.read_text(encoding="utf-8"), str(own_file), tokenizer, tokens, with_tools)
        given = config.get("chat_template")
        if given is None:
            return None
        templates = {"default": given} if isinstance(given, str) else _named(given, config_path)
        if "default" not in templates:
            raise ModelDirectoryError(
                f"{config_path}: chat_template has no entry named default, only {sorted(templates)}"
            )
        return cls(templates["default"], str(config_path), tokenizer, tokens, templates.get("tool_use"))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **extra: Any,
    ) -> str:
        """The prompt text, for ``Tokenizer.encode_rendered``.

        Args:
            messages: as in the OpenAI protocol; JSON values.
            add_generation_prompt: end with the opening of the assistant's turn.
            tools: tool definitions; None for no tools.
            **extra: variables of this template, such as ``enable_thinking``.

        Raises:
            ChatTemplateError: the template refused the messages or failed on them.
        """
        template = self._with_tools if tools else self._template
        values = {
            **extra,
            "messages": messages,
            "tools": tools or None,
            "documents": extra.get("documents"),
            "add_generation_prompt": add_generation_prompt,
        }
        return template.render(values, self._tokens)


def _content(value: Any) -> str | None:
    """A special token's string, given as such or as ``{"content": string}``."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def _named(given: Any, path: Path) -> dict[str, str]:
    """``[{"name": ..., "template": ...}, ...]`` as a mapping."""
    if not isinstance(given, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) and isinstance(e.get("template"), str) for e in given
    ):
        raise ModelDirectoryError(f"{path}: chat_template must be a string or a list of name and template")
    return {entry["name"]: entry["template"] for entry in given}
