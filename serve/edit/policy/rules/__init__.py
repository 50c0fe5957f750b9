"""The rules that come with the server, a TOML file for each language, and the names by which policies ask for them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from dovetail.serve.edit.policy.document import PatternRule

_FOLDER = Path(__file__).parent

GROUPS: Mapping[str, frozenset[str]] = {
    "injection": frozenset(
        {"CWE-78", "CWE-89", "CWE-90", "CWE-94", "CWE-95", "CWE-134", "CWE-915", "CWE-943", "CWE-1321", "CWE-1336"}
    ),
    "markup": frozenset({"CWE-79", "CWE-352", "CWE-346", "CWE-601", "CWE-614", "CWE-942"}),
    "deserialisation": frozenset({"CWE-502", "CWE-611"}),
    "crypto": frozenset({"CWE-326", "CWE-327", "CWE-328", "CWE-338", "CWE-347", "CWE-916"}),
    "transport": frozenset({"CWE-295", "CWE-319"}),
    "secrets": frozenset({"CWE-798", "CWE-532"}),
    "files": frozenset({"CWE-22", "CWE-367", "CWE-377", "CWE-732"}),
    "requests": frozenset({"CWE-918"}),
    "memory": frozenset({"CWE-120", "CWE-242", "CWE-770", "CWE-806"}),
    "settings": frozenset({"CWE-489", "CWE-1188", "CWE-1333"}),
}
"""Names of what rules are about, each with the weaknesses that belong to it."""


def pack_names() -> tuple[str, ...]:
    """The packs: ``default``, which is all rules, and a language's each."""
    return ("default", *sorted(file.stem for file in _FOLDER.glob("*.toml")))


def rules_named(name: str) -> tuple[PatternRule, ...]:
    """The rules of a pack, a group or a CWE, or the one of that id; none if the name is unknown."""
    if name in pack_names():
        return pack(name)
    weaknesses = GROUPS.get(name, frozenset({name}))
    return tuple(rule for rule in pack("default") if rule.id == name or rule.cwe in weaknesses)


@cache
def pack(name: str) -> tuple[PatternRule, ...]:
    """The rules of a pack, off unless a policy names it."""
    names = pack_names()[1:] if name == "default" else (name,)
    return tuple(rule for each in names for rule in _read(_FOLDER / f"{each}.toml"))


def _read(file: Path) -> tuple[PatternRule, ...]:
    """The rules of a file, with the regular expressions that it names put where ``${NAME}`` stands in its queries."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    rules = msgspec.convert(table["rule"], tuple[PatternRule, ...])
    named: dict[str, str] = table.get("regex", {})
    for name, pattern in named.items():
        rules = tuple(
            msgspec.structs.replace(rule, query=rule.query.replace(f"${{{name}}}", pattern)) for rule in rules
        )
    return rules
