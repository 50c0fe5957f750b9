"""What resolving imports needs to know of a repository: its paths, its settings' text, its linked folders."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

from dovetail.agent.repo.facts import FileFacts, Import


class Target(NamedTuple):
    """What an import brings in: the definition ``name`` of the file ``path``, or the file itself where it is empty.

    ``name`` is ``*`` where every visible name of the file comes in.
    """

    path: str
    name: str = ""


@dataclass(frozen=True)
class Project:
    """The files of a repository as resolvers see them. ``read`` gives a settings file's text, None where there is none."""

    files: Mapping[str, FileFacts]
    links: Mapping[str, str]
    read: Callable[[str], str | None]
    config: dict[str, object] = field(default_factory=dict)

    def file(self, path: str) -> str | None:
        """The path of an existing source file, also through linked folders."""
        normal = posixpath.normpath(path)
        if normal in self.files:
            return normal
        for link, target in self.links.items():
            if normal.startswith(link + "/"):
                through = posixpath.normpath(posixpath.join(target, normal[len(link) + 1 :]))
                if through in self.files:
                    return through
        return None

    @cached_property
    def folders(self) -> dict[str, list[str]]:
        """The files directly in each folder; ``""`` is the root."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            found.setdefault(posixpath.dirname(path), []).append(path)
        return found

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Paths by their last part."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            found.setdefault(posixpath.basename(path), []).append(path)
        return found

    def folder(self, path: str) -> str | None:
        """The path of a folder that holds files, also through linked folders."""
        normal = posixpath.normpath(path)
        normal = "" if normal == "." else normal
        target = self.links.get(normal, normal)
        return target if target in self.folders or target in self.ancestors else None

    @cached_property
    def ancestors(self) -> set[str]:
        """Every folder that holds files somewhere below it."""
        found: set[str] = set()
        for folder in self.folders:
            while folder and folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return found | {""}


class Resolver(Protocol):
    """The rules of one language."""

    def __call__(self, project: Project, path: str, made: Import) -> tuple[Target, ...]:
        """The files that an import in ``path`` means; empty for what is outside of the repository."""
        ...


def up(path: str) -> list[str]:
    """The folders around a path, innermost first, the root (``""``) last."""
    folders: list[str] = []
    while path:
        path = posixpath.dirname(path)
        folders.append(path)
    return folders


def join(*parts: str) -> str:
    """Path parts joined and normalised; the root is ``""``. A path that climbs out starts with ``..``."""
    joined = posixpath.normpath(posixpath.join(*parts)) if any(parts) else ""
    return "" if joined == "." else joined
