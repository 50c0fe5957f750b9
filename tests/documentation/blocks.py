"""Reads the blocks of code in the documentation: language, text, and what the comment above them says is to be done with them.

The comment stands in the line above the fence; parts are separated by ``;``:

    <!-- needs: gpu -->              cannot be run here: gpu, network, client, docker, kubernetes, terminal, time
    <!-- needs: client; shown by: tests/e2e/test_agents.py -->   ... and what runs it
    <!-- part of: NAME -->           run together with the blocks of this page that came before under this name
    <!-- loads: policy -->           toml or json of ours, read by the real loader
    <!-- writes: policy.toml -->     the text becomes that file, for the commands behind it
    <!-- exits: 0, 1 -->             what its status may be
    <!-- example: ... -->            a test of its own reads it

Knows no loader and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELLS = frozenset({"sh", "bash", "console"})
DATA = frozenset({"toml", "json"})
NEEDS = frozenset({"gpu", "network", "client", "docker", "kubernetes", "terminal", "time"})
KEYS = frozenset({"needs", "shown by", "part of", "loads", "writes", "exits", "example"})

_FENCE = re.compile(r"^( *)(```+|~~~+)(\w*)[^\n]*$")
_COMMENT = re.compile(r"^ *<!-- (.*?) -->$")
_INDENTED = re.compile(r"^(    |\t)\S")


@dataclass(frozen=True)
class Block:
    """One block: ``language`` is empty where the fence names none."""

    page: str
    line: int
    language: str
    text: str
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def needs(self) -> str | None:
        return self.marks.get("needs")


def pages() -> list[Path]:
    """Where blocks are looked for."""
    tops = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*tops, *sorted(ROOT.glob("docs/*.md"))]


def read_blocks(page: Path) -> list[Block]:
    """All blocks of a page, indented ones too: their language is ``indented``."""
    return parse_blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix())


def parse_blocks(text: str, page: str) -> list[Block]:
    """All blocks of a page's text. Raises ValueError where a fence is not closed, or a comment says what nobody knows."""
    found: list[Block] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            blank = number == 0 or not lines[number - 1].strip()
            if blank and _INDENTED.match(lines[number]):
                found.append(Block(page, number + 1, "indented", lines[number]))
            number += 1
            continue
        begin = number
        number += 1
        while number < len(lines) and not _closes(lines[number], opened[2]):
            number += 1
        if number == len(lines):
            raise ValueError(f"{page}:{begin + 1}: the fence is not closed")
        inside = (line.removeprefix(opened[1]) for line in lines[begin + 1 : number])
        body = "".join(f"{line}\n" for line in inside)
        found.append(Block(page, begin + 1, opened[3], body, _marks(lines[begin - 1] if begin else "", page, begin)))
        number += 1
    return found


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return bare.startswith(fence) and not bare.strip(fence[0])


def _marks(line: str, page: str, number: int) -> dict[str, str]:
    comment = _COMMENT.match(line)
    if comment is None:
        return {}
    marks = dict(part.strip().split(": ", 1) for part in comment[1].split(";") if ": " in part)
    unknown = set(marks) - KEYS
    if unknown or not marks:
        raise ValueError(
            f"{page}:{number}: the comment above a block says {comment[1]!r}; it may say: {', '.join(sorted(KEYS))}"
        )
    return marks
