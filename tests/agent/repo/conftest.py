"""Indexes of small repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from repositories import write

from dovetail.agent.repo.index import RepoIndex


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str | bytes]], RepoIndex]]:
    """Write files and open their index, with a cache beside the repository."""
    opened: list[RepoIndex] = []

    def made(files: Mapping[str, str | bytes]) -> RepoIndex:
        root = tmp_path / "repo"
        root.mkdir(exist_ok=True)
        write(root, files)
        opened.append(RepoIndex.open(root, tmp_path / "cache"))
        return opened[-1]

    yield made
    for index in opened:
        index.close()
