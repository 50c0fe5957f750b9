"""Reading JSON values that clients sent, with refusals that name the place. Knows no endpoint."""

from __future__ import annotations

from typing import Any, NoReturn

from dovetail.serve.errors import UserError


def refuse(path: str, what: str, code: str = "invalid_value") -> NoReturn:
    """Raise the 400 that names ``path``."""
    raise UserError(f"{path}: {what}.", code=code, param=path)


def as_object(value: Any, path: str) -> dict[str, Any]:
    """``value`` if it is an object."""
    if not isinstance(value, dict):
        refuse(path, "must be an object")
    return value


def as_list(value: Any, path: str) -> list[Any]:
    """``value`` if it is a list."""
    if not isinstance(value, list):
        refuse(path, "must be a list")
    return value


def as_text(value: Any, path: str) -> str:
    """``value`` if it is a string."""
    if not isinstance(value, str):
        refuse(path, "must be a string")
    return value


def optional_text(value: Any, path: str) -> str:
    """``value`` if it is a string; empty if it is null."""
    return "" if value is None else as_text(value, path)
