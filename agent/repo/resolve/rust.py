"""Rust: ``mod`` files, paths from ``crate``, ``self`` and ``super``, and crates of the same workspace."""

from __future__ import annotations

import posixpath
import re
from typing import cast

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.resolve.project import Project, Target, join, up


def resolve(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """The file of a module, or the definition in the file of its module."""
    if made.module.startswith("mod "):
        inside = _inside(path)
        name = made.module.removeprefix("mod ")
        found = _module(project, inside, name)
        return (Target(found),) if found else ()
    parts = [part for part in made.module.split("::") if part]
    name = made.name
    if name == "self":
        name = ""
    if not parts and name:
        parts, name = [name], ""
    start = _start(project, path, parts)
    if start is None:
        return ()
    file, rest = start
    for depth, part in enumerate(rest):
        inner = _module(project, _inside(file), part)
        if inner is None:
            return (Target(file, rest[depth] if depth == len(rest) - 1 and not name else name or part),)
        file = inner
    if name and name != "*":
        inner = _module(project, _inside(file), name)
        if inner is not None:
            return (Target(inner),)
    return (Target(file, name),)


def _start(project: Project, path: str, parts: list[str]) -> tuple[str, list[str]] | None:
    """The file that a path starts in, and what is left of the path."""
    head = parts[0] if parts else "self"
    if head == "crate":
        root = _crate_root(project, path)
        return (root, parts[1:]) if root else None
    if head in {"self", "super"}:
        file: str | None = path
        while parts and parts[0] in {"self", "super"}:
            if parts[0] == "super":
                file = _parent(project, file) if file else None
            parts = parts[1:]
        return (file, parts) if file else None
    below = _module(project, _inside(path), head)
    if below is not None:
        return below, parts[1:]
    root = _crates(project).get(head)
    return (root, parts[1:]) if root else None


def _inside(file: str) -> str:
    """The folder of a file's submodules."""
    folder, name = posixpath.split(file)
    return folder if name in {"mod.rs", "lib.rs", "main.rs"} else join(folder, name.removesuffix(".rs"))


def _module(project: Project, folder: str, name: str) -> str | None:
    return project.file(join(folder, f"{name}.rs")) or project.file(join(folder, name, "mod.rs"))


def _parent(project: Project, file: str) -> str | None:
    folder, name = posixpath.split(file)
    if name in {"mod.rs", "lib.rs", "main.rs"}:
        folder = posixpath.dirname(folder)
    for candidate in (join(folder, "mod.rs"), join(folder, "lib.rs"), join(folder, "main.rs"), f"{folder}.rs"):
        found = project.file(candidate)
        if found is not None and found != file:
            return found
    return None


def _crate_root(project: Project, path: str) -> str | None:
    for folder in up(path):
        for name in ("lib.rs", "main.rs"):
            found = project.file(join(folder, name))
            if found is not None:
                return found
    return None


def _crates(project: Project) -> dict[str, str]:
    """The root file of each crate of the repository, by the name that code uses."""
    if "crates" not in project.config:
        found: dict[str, str] = {}
        for file in sorted(project.by_name.get("Cargo.toml", ())):
            named = re.search(r'^\[package\][^\[]*?^name\s*=\s*"([^"]+)"', project.read(file) or "", re.M | re.S)
            root = project.file(join(posixpath.dirname(file), "src", "lib.rs"))
            if named and root:
                found[named[1].replace("-", "_")] = root
        project.config["crates"] = found
    return cast("dict[str, str]", project.config["crates"])
