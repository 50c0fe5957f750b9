"""Python: absolute imports from any source root, relative ones, packages, src layouts, stubs last."""

from __future__ import annotations

import posixpath

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.resolve.project import Project, Target, join, up


def resolve(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """Of ``from a import b``: the module a.b if it is a file, else b in a's file."""
    dots = len(made.module) - len(made.module.lstrip("."))
    parts = [part for part in made.module[dots:].split(".") if part]
    if dots:
        folder = posixpath.dirname(path)
        for _ in range(dots - 1):
            if not folder:
                return ()
            folder = posixpath.dirname(folder)
        return _in(project, folder, parts, made.name)
    for base in _roots(project, path):
        found = _in(project, base, parts, made.name)
        if found:
            return found
    return ()


def _roots(project: Project, path: str) -> list[str]:
    """Where absolute imports may start, best first.

    First the folder around the file's outermost package, then the root, ``src`` and the file's folder and those around it.
    """
    outermost = posixpath.dirname(path)
    while outermost and f"{outermost}/__init__.py" in project.files:
        outermost = posixpath.dirname(outermost)
    around = up(path)
    beside = [join(folder, "src") for folder in reversed(around)]
    return list(dict.fromkeys([outermost, "", *beside, *reversed(around)]))


def _in(project: Project, base: str, parts: list[str], name: str) -> tuple[Target, ...]:
    module = join(base, *parts)
    file = _module(project, module) if parts else project.file(join(base, "__init__.py"))
    if name and name != "*":
        inner = _module(project, join(module, name))
        defined = file is not None and name in project.files[file].by_qualified
        if inner is not None and not defined:
            return (Target(inner),)
    if file is None:
        return ()
    return (Target(file, name),)


def _module(project: Project, module: str) -> str | None:
    for candidate in (f"{module}.py", f"{module}/__init__.py", f"{module}.pyi", f"{module}/__init__.pyi"):
        found = project.file(candidate)
        if found is not None:
            return found
    return None
