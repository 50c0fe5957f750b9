"""The rule packs that come with the server: a TOML file each. ``default`` is all of them."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import msgspec

from dovetail.serve.edit.policy.document import PatternRule

_FOLDER = Path(__file__).parent


def pack_names() -> tuple[str, ...]:
    """Every name that a policy may ask for."""
    return ("default", *sorted(file.stem for file in _FOLDER.glob("*.toml")))


@cache
def pack(name: str) -> tuple[PatternRule, ...]:
    """The rules of a pack, off unless a policy names it."""
    names = pack_names()[1:] if name == "default" else (name,)
    tables = [tomllib.loads((_FOLDER / f"{each}.toml").read_text(encoding="utf-8")) for each in names]
    return tuple(rule for table in tables for rule in msgspec.convert(table["rule"], tuple[PatternRule, ...]))
