"""The settings as options of the command line: one for each, with the setting's own text, in the setting's group."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dovetail.serve.config.server import SETTINGS
from dovetail.serve.config.settings import Kind, Setting, option_of

_TYPES: dict[Kind, Any] = {
    "path": Path,
    "word": str,
    "list of words": list[str],
    "true or false": bool,
    "whole number": int,
    "size": str,
}
"""What typer reads. Words and sizes are looked at with all settings, whose errors name their source."""


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for every setting before its own; its first parameter gets those given, by name."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        rest = {each.name: arguments.pop(each.name) for each in own}
        command({key: value for key, value in arguments.items() if value not in (None, [])}, **rest)

    parameters = [*map(_parameter, SETTINGS), *own]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameter(setting: Setting) -> inspect.Parameter:
    if setting.name == "model":
        declaration: Any = typer.Argument(metavar="[MODEL_DIR|FILE.gguf]", help=setting.meaning)
    else:
        declaration = typer.Option(option_of(setting.name), help=setting.meaning, rich_help_panel=setting.group)
    annotation = Annotated[_TYPES[setting.kind] | None, declaration]  # type: ignore[valid-type, name-defined]
    return inspect.Parameter(setting.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
