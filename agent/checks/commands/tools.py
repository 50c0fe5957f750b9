"""Which checks a project brings: types, lint and tests, read from its own settings. Runs nothing.

Commands come from here and from the user; never from a model.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dovetail.agent.repo.facts import FileFacts
from dovetail.agent.repo.testfiles import is_test

ToolKind = Literal["types", "lint", "tests", "command"]
REPORT = "dovetail-junit.xml"
"""Where pytest is told to write its results, in the copy that it runs in."""


@dataclass(frozen=True)
class Tool:
    """One command. ``narrow``: test files may be given behind it; ``missing``: why it cannot be run."""

    name: str
    kind: ToolKind
    command: tuple[str, ...]
    narrow: bool = False
    missing: str = ""


def find_tools(root: Path, files: Mapping[str, FileFacts], extra: Sequence[str] = ()) -> list[Tool]:
    """The project's own checks, and those that the user adds."""
    found = [*_python(root, files), *_javascript(root), *_go(root), *_rust(root)]
    return [*found, *(Tool(command, "command", shell(root, command)) for command in extra)]


def shell(root: Path, command: str) -> tuple[str, ...]:
    """The user's command, with the project's own programs first and the agent's interpreter last."""
    first = [str(root / name / "bin") for name in (".venv", "venv") if (root / name / "bin").is_dir()]
    first += [str(root / "node_modules" / ".bin")] if (root / "node_modules" / ".bin").is_dir() else []
    path = ":".join(
        [*map(shlex.quote, first), '"$PATH"', shlex.quote(os.path.dirname(os.path.normpath(sys.executable)))]
    )
    return ("/bin/sh", "-c", f"export PATH={path}\n{command}")


def _python(root: Path, files: Mapping[str, FileFacts]) -> Iterator[Tool]:
    settings = _toml(root / "pyproject.toml").get("tool", {})
    ini = "\n".join(_text(root / name) for name in ("setup.cfg", "tox.ini"))
    python = next(
        (
            str(root / name / "bin" / "python")
            for name in (".venv", "venv")
            if (root / name / "bin" / "python").exists()
        ),
        os.path.normpath(sys.executable),
    )
    if "mypy" in settings or "[mypy" in ini or (root / "mypy.ini").exists():
        where = () if "files" in settings.get("mypy", {}) or "packages" in settings.get("mypy", {}) else (".",)
        yield _module(python, "mypy", "types", ("--no-error-summary", "--no-color-output", *where))
    if "ruff" in settings or (root / "ruff.toml").exists() or (root / ".ruff.toml").exists():
        yield _module(
            python, "ruff", "lint", ("check", "--output-format", "concise", "--no-fix", "--force-exclude", ".")
        )
    if any(is_test(path, facts.language) for path, facts in files.items() if facts.language == "python"):
        options = ("-q", "--tb=short", "-p", "no:cacheprovider", f"--junitxml={REPORT}", "-o", "junit_family=xunit1")
        pytest = _module(python, "pytest", "tests", options)
        unittest = Tool("unittest", "tests", (python, "-m", "unittest", "discover", "-v"))
        uses_pytest = not pytest.missing or "pytest" in settings or (root / "conftest.py").exists()
        yield pytest if uses_pytest else unittest


def _module(python: str, name: str, kind: ToolKind, options: tuple[str, ...]) -> Tool:
    program = Path(python).parent / name
    missing = "" if program.exists() else f"{name} is not installed beside {Path(python).name}"
    return Tool(name, kind, (python, "-m", name, *options), narrow=kind == "tests", missing=missing)


def _javascript(root: Path) -> Iterator[Tool]:
    package = _json(root / "package.json")
    if not package:
        return
    programs = root / "node_modules" / ".bin"
    scripts = package.get("scripts")
    if (root / "tsconfig.json").exists():
        yield _program(programs / "tsc", "types", ("--noEmit", "--pretty", "false"))
    if any(
        (root / name).exists() for name in ("eslint.config.js", "eslint.config.mjs", ".eslintrc.json", ".eslintrc.js")
    ):
        yield _program(programs / "eslint", "lint", ("--no-color", "."))
    if isinstance(scripts, dict) and "test" in scripts:
        yield _on_path("npm", "tests", ("test", "--silent"))


def _go(root: Path) -> Iterator[Tool]:
    if (root / "go.mod").exists():
        yield _on_path("go", "lint", ("vet", "./..."), "go vet")
        yield _on_path("go", "tests", ("test", "-v", "./..."), "go test")


def _rust(root: Path) -> Iterator[Tool]:
    if (root / "Cargo.toml").exists():
        yield _on_path("cargo", "types", ("check", "--offline", "--message-format", "short"), "cargo check")
        yield _on_path("cargo", "tests", ("test", "--offline"), "cargo test")


def _program(path: Path, kind: ToolKind, options: tuple[str, ...]) -> Tool:
    return Tool(
        path.name, kind, (str(path), *options), missing="" if path.exists() else f"{path.name} is not installed"
    )


def _on_path(program: str, kind: ToolKind, options: tuple[str, ...], name: str = "") -> Tool:
    there = any(os.access(Path(folder) / program, os.X_OK) for folder in os.environ.get("PATH", "").split(os.pathsep))
    return Tool(name or program, kind, (program, *options), missing="" if there else f"{program} is not installed")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
