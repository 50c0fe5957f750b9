"""Settings of the sandbox. Who may say what: a repository's own file can only protect more, its owner can open."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dovetail.agent.problems import SandboxProblem
from dovetail.agent.sandbox.outcome import Limits

BACKENDS = ("bubblewrap", "landlock")
OUTER_VARIABLE = "DOVETAIL_OUTER_SANDBOX"


@dataclass(frozen=True)
class SandboxConfig:
    """What commands may see and use. ``outer``: what contains this whole program already, in the owner's words."""

    root: Path
    readable: Sequence[Path] = ()
    protected: Sequence[str] = ()
    backends: Sequence[str] = BACKENDS
    outer: str = ""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name in self.backends:
            if name not in BACKENDS:
                raise SandboxProblem(f"{name!r} is no sandbox backend; there are {' and '.join(BACKENDS)}.")


def read_config(root: Path, outside: Mapping[str, str] | None = None, outer: str = "") -> SandboxConfig:
    """The settings for a work tree: ``[sandbox] protected`` of its dovetail.toml, and what the environment declares.

    Raises:
        SandboxProblem: the file cannot be used, or tries to open what only the owner may.
    """
    variables = os.environ if outside is None else outside
    config = SandboxConfig(root, outer=outer or variables.get(OUTER_VARIABLE, ""))
    table = _table(root / "dovetail.toml")
    for key in table:
        if key != "protected":
            raise SandboxProblem(
                f"dovetail.toml: sandbox.{key} cannot be set there: a repository's file can only protect more "
                "(`protected`); what opens the sandbox is said by its owner: an option, or the environment."
            )
    protected = table.get("protected", [])
    if not isinstance(protected, list) or not all(isinstance(each, str) for each in protected):
        raise SandboxProblem("dovetail.toml: sandbox.protected must be a list of paths.")
    return replace(config, protected=tuple(protected))


def _table(file: Path) -> Mapping[str, Any]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SandboxProblem(f"dovetail.toml cannot be read: {error}.") from error
    table = document.get("sandbox", {})
    if not isinstance(table, dict):
        raise SandboxProblem("dovetail.toml: sandbox must be a table.")
    return table
