"""Typed reading of a JSON file's keys, with errors that name the file and the key. Knows no particular file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dovetail.models.errors import ModelDirectoryError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        ModelDirectoryError: the file is missing, unreadable, not JSON or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelDirectoryError(f"{path}: file not found; it is part of every model directory") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelDirectoryError(f"{path}: cannot be read as JSON ({error}); copy the file again") from error
    if not isinstance(value, dict):
        raise ModelDirectoryError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def read_optional_json(path: Path) -> dict[str, Any]:
    """:func:`read_json`, or an empty object where there is no such file."""
    return read_json(path) if path.is_file() else {}


class Fields:
    """Keys of one JSON object. A key that is absent or null takes its default, or, without one, is an error.

    Args:
        values: the object.
        where: names it in errors, e.g. ``/models/x/config.json``.
        defaults: values for absent keys; a null in the file stays a null.
    """

    def __init__(self, values: Mapping[str, Any], where: str, defaults: Mapping[str, object] | None = None) -> None:
        self.values: dict[str, Any] = {**(defaults or {}), **values}
        self.where = where

    def integer(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least ``least``."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(key, f"a whole number of at least {least}")
        return value

    def optional_integer(self, key: str) -> int | None:
        """A whole number of at least 1, or None where absent or null."""
        return None if self.values.get(key) is None else self.integer(key)

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise self.wrong(key, "a positive number")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """A positive number, or None where absent or null."""
        return None if self.values.get(key) is None else self.number(key)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def wrong(self, key: str, expected: str) -> ModelDirectoryError:
        """The error for a value of the wrong kind."""
        return ModelDirectoryError(f"{self.where}: {key} must be {expected}, found {self.values.get(key)!r}")

    def _value(self, key: str, default: object) -> Any:
        value = self.values.get(key)
        if value is None:
            value = default
        if value is None:
            raise ModelDirectoryError(
                f"{self.where}: {key} is missing; is this a complete Hugging Face model directory?"
            )
        return value
