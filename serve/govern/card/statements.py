"""What a card says beside its measurements: guarantees with their tests, limits, risks. Read from statements.toml; measures nothing."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

Control = Literal["policy", "carriers", "keys", "audit", "signature", "declines"]
Enforced = Literal["by construction", "by check", "by test"]


class Guarantee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sentence that holds, how, and the tests that show it (``path::name``). ``control`` None: it always holds."""

    id: str
    statement: str
    enforced: Enforced
    how: str
    evidence: tuple[str, ...]
    control: Control | None = None


class Limitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not so."""

    text: str


class Risk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may go wrong, what is done about it, and what is left. ``control``: where it is off, nothing is done."""

    risk: str
    mitigation: str
    left: str
    control: Control | None = None


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule of safety or alignment that the software keeps."""

    text: str


class Untested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What no evaluation of ours looks at, unless a result of ``suite`` is there."""

    suite: str
    text: str


class Statements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them."""

    guarantee: tuple[Guarantee, ...]
    limitation: tuple[Limitation, ...]
    risk: tuple[Risk, ...]
    constraint: tuple[Constraint, ...]
    untested: tuple[Untested, ...]


@cache
def statements() -> Statements:
    """Those that come with this version."""
    text = (Path(__file__).parent / "statements.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Statements)
