"""Prompt templates in a sandbox. Templates come with models from strangers, their values from users: neither is trusted.

Knows jinja2 and what Hugging Face templates expect of it; nothing of chats, edits or tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dovetail.models.errors import ChatTemplateError, ModelDirectoryError

_VALUE_ERRORS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a template's own expressions raise on values of an unexpected kind."""


class SandboxedTemplate:
    """One compiled template.

    Args:
        source: jinja2 text.
        where: names the file in errors.
        protect: applied to every string in the values given to :meth:`render`, keys included.

    Raises:
        ModelDirectoryError: the template is not valid jinja2.
    """

    def __init__(self, source: str, where: str, protect: Callable[[str], str]) -> None:
        self._protect = protect
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise ModelDirectoryError(f"{where}: not a valid template, line {error.lineno}: {error.message}") from error

    def render(self, values: Mapping[str, Any], trusted: Mapping[str, Any]) -> str:
        """Render with the users' ``values``, protected, and the model's own ``trusted`` ones, as they are.

        Raises:
            ChatTemplateError: the template refused the values or failed on them.
        """
        try:
            shielded = {name: self._plain(value) for name, value in values.items()}
            return self._template.render({**shielded, **trusted})
        except jinja2.TemplateError as error:
            raise ChatTemplateError(str(error) or type(error).__name__) from error
        except _VALUE_ERRORS as error:
            raise ChatTemplateError(
                f"the template failed on these messages: {type(error).__name__}: {error}"
            ) from error

    def _plain(self, value: Any) -> Any:
        """A copy in plain JSON types: objects with methods have no business in a sandbox."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self._protect(value)
        if isinstance(value, Mapping):
            return {self._plain(key): self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        raise ChatTemplateError(f"a template takes JSON values only, not {type(value).__name__}")


class _Generation(jinja2.ext.Extension):
    """``{% generation %}`` marks the assistant's text for training; here its body is just rendered."""

    tags = {"generation"}  # noqa: RUF012  declared so by jinja2

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node | list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML characters, which no model was trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
