"""One setting: how a field of the configuration is declared, how its value is read from text, and what bounds it.

A field's type says what kind of value it takes: a path, a word, one of a Literal's words, a list of words, a whole number, or
true and false; ``size`` makes the number one of bytes.
"""

from __future__ import annotations

import dataclasses
import re
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dovetail.serve.errors import DovetailError

Kind = Literal["path", "word", "list of words", "true or false", "whole number", "size"]

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class ConfigError(DovetailError):
    """The configuration cannot be used; ``param`` is the key at fault."""

    default_status = 400
    default_code = "invalid_configuration"


@dataclass(frozen=True)
class Setting:
    """What there is to know of one setting: how its value is written, its default, what bounds it, and what it is for.

    ``commas``: they stand between the words of a list wherever it comes from, as none of these words has one.
    """

    name: str
    group: str
    kind: Kind
    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    optional: bool = False
    commas: bool = False

    def check(self, value: Any) -> None:
        """Raise a ConfigError for a value out of bounds, or none of the choices."""
        if value is None and self.optional:
            return
        if self.bounds is not None and not self.bounds[0] <= value <= self.bounds[1]:
            low, high = self.bounds
            raise ConfigError(f"{both(self.name)} must be between {low} and {high}, not {value}.", param=self.name)
        if self.choices and value not in self.choices:
            raise ConfigError(f"{both(self.name)} must be one of {', '.join(self.choices)}.", param=self.name)


def setting(
    group: str,
    default: Any,
    meaning: str,
    *,
    bounds: tuple[int, int] | None = None,
    size: bool = False,
    commas: bool = False,
) -> Any:
    """A field of the configuration. ``group``: what it is listed with; ``meaning``: the text behind its option."""
    metadata = {"group": group, "meaning": meaning, "bounds": bounds, "size": size, "commas": commas}
    return dataclasses.field(default=default, metadata=metadata)


def declared(configuration: type[Any]) -> tuple[Setting, ...]:
    """The settings of a dataclass whose fields are made by ``setting``."""
    hints = get_type_hints(configuration)
    return tuple(_described(each, hints[each.name]) for each in dataclasses.fields(configuration))


def _described(field: dataclasses.Field[Any], hint: Any) -> Setting:
    optional = types.NoneType in get_args(hint)
    wanted = next(part for part in get_args(hint) if part is not types.NoneType) if optional else hint
    choices: tuple[str, ...] = get_args(wanted) if get_origin(wanted) is Literal else ()
    said = field.metadata
    kind = "size" if said["size"] else "word" if choices else _KINDS[get_origin(wanted) or wanted]
    return Setting(
        field.name,
        said["group"],
        kind,
        field.default,
        said["meaning"],
        choices,
        said["bounds"],
        optional,
        said["commas"],
    )


_KINDS: dict[Any, Kind] = {
    Path: "path",
    str: "word",
    tuple: "list of words",
    bool: "true or false",
    int: "whole number",
}


def option_of(key: str) -> str:
    """The command line's name of a setting."""
    return "MODEL_DIR" if key == "model" else f"--{key.replace('_', '-')}"


def both(key: str) -> str:
    """A setting in an error: its name in a file, and its option."""
    return f"{key} ({option_of(key)})"


def parse(setting: Setting, value: Any, source: str) -> Any:
    """A value as it came (text from the environment; text, number or boolean elsewhere) in its field's type.

    ``source``: where it came from, for the ConfigError about a value that cannot be read so.
    """
    if setting.kind == "true or false":
        return _parse_flag(value, source)
    if setting.kind == "list of words":
        return _parse_list(setting, value, source)
    if setting.kind == "path" and isinstance(value, str | Path):
        return Path(value)
    if setting.kind == "word" and isinstance(value, str):
        return value
    if isinstance(value, bool) or setting.kind in ("path", "word"):
        raise ConfigError(f"{source}: {value!r} is not usable here.", param=setting.name)
    if isinstance(value, int):
        return value
    try:
        return parse_size(value) if setting.kind == "size" else int(value)
    except (TypeError, ValueError) as error:
        wanted = "a size such as 512MiB" if setting.kind == "size" else "a whole number"
        raise ConfigError(f"{source}: {value!r} is not {wanted}.", param=setting.name) from error


def parse_size(text: str) -> int:
    """Bytes in ``512MiB``, ``2 GB``, ``64k`` or ``1048576``; KiB, MiB, ... are powers of 1024, KB, MB, ... of 1000."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 512MiB, 2GB or 1048576")
    number, unit, binary = match.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** ("kmgt".index(unit.lower()) + 1 if unit else 0))


def _parse_list(setting: Setting, value: Any, source: str) -> tuple[str, ...]:
    """Words: a list of them, or as one text with commas between."""
    words = value.split(",") if isinstance(value, str) else value
    if setting.commas and isinstance(words, list | tuple):
        words = [part for word in words for part in (word.split(",") if isinstance(word, str) else [word])]
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ConfigError(f"{source}: {value!r} is not a list of names.", param=setting.name)
    return tuple(word.strip() for word in words)


def _parse_flag(value: Any, source: str) -> bool:
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(str(value).lower())
    if flag is None:
        raise ConfigError(f"{source}: {value!r} is neither true nor false.")
    return flag
