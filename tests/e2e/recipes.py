"""Reads docs/clients.md: what a section tells its reader to write into files, and to run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
ADDRESS = "http://127.0.0.1:8000"
"""The server, as the page has it."""

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"(?:^`(?P<path>[^`\n]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """One section: files by the path the page gives them, shell commands and Python programs in order."""

    files: dict[str, str]
    commands: tuple[str, ...]
    programs: tuple[str, ...]


def recipes(page: str | None = None) -> dict[str, Recipe]:
    """All of them, by heading."""
    _, *parts = _SECTION.split(PAGE.read_text(encoding="utf-8") if page is None else page)
    return {heading: read_section(text) for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def read_section(text: str) -> Recipe:
    """The blocks of one section."""
    blocks = [match.groupdict() for match in _BLOCK.finditer(text)]
    return Recipe(
        files={block["path"]: block["text"] for block in blocks if block["path"]},
        commands=tuple(block["text"] for block in blocks if block["kind"] == "sh" and not block["path"]),
        programs=tuple(block["text"] for block in blocks if block["kind"] == "python" and not block["path"]),
    )
