"""Printed places as places of a repository. Frames of files that are not in it are left out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dovetail.agent.debug.traces.frames import Frame
from dovetail.agent.repo.facts import CALLABLE, FileFacts, Symbol
from dovetail.agent.repo.index import RepoIndex
from dovetail.agent.repo.testfiles import supports_tests


class Place(NamedTuple):
    """A line of the repository, in which function, and whether that belongs to the tests."""

    path: str
    line: int
    function: str
    in_tests: bool


def place_all(index: RepoIndex, frames: Iterable[Frame], *roots: Path) -> list[Place]:
    """The frames that lie in the repository, in their order; ``roots``: where it or a copy of it lay."""
    found = []
    for frame in frames:
        path = _resolve(index, frame.path, roots)
        facts = index.files.get(path)
        if facts is None:
            continue
        symbol = enclosing(facts, frame.line)
        function = symbol.qualified if symbol is not None else frame.function or "<module>"
        found.append(Place(path, frame.line, function, supports_tests(path, facts.language)))
    return list(dict.fromkeys(found))


def enclosing(facts: FileFacts, line: int) -> Symbol | None:
    """The innermost function that a line stands in."""
    inside = [each for each in facts.definitions if each.kind in CALLABLE and each.line <= line <= each.last_line]
    return max(inside, key=lambda each: each.line, default=None)


def _resolve(index: RepoIndex, path: str, roots: Iterable[Path]) -> str:
    """The repository's name for a printed path: as it is, below a root, or the only file that ends like it."""
    cleaned = path.replace("\\", "/").removeprefix("./")
    for root in roots:
        cleaned = cleaned.removeprefix(f"{root}/")
    if cleaned in index.files:
        return cleaned
    if path.startswith("/"):
        return ""
    ending = [known for known in index.files if known.endswith(f"/{cleaned}") or known == cleaned]
    return ending[0] if len(ending) == 1 else ""
