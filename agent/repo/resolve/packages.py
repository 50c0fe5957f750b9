"""Languages whose files declare a package or namespace: Java, C# and PHP. Files are found by what they declare."""

from __future__ import annotations

import re
from typing import cast

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.resolve.project import Project, Target


def java(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """A class by its package and name, its nested and static names too; ``a.b.*`` is the package, or a class's members."""
    parts = made.module.split(".")
    known = _declared(project, "java")
    if made.name == "*" and made.module in known:
        return tuple(Target(file, "*") for file in known[made.module])
    for cut in range(len(parts) - 1, 0, -1):
        package, name = ".".join(parts[:cut]), parts[cut]
        for file in known.get(package, ()):
            if name in project.files[file].by_qualified:
                rest = parts[cut + 1 :]
                return (Target(file, made.name or (rest[-1] if rest else name)),)
    return ()


def csharp(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """Every file of a namespace, or the file of a type that ``using static`` or an alias names."""
    known = _declared(project, "c-sharp")
    if made.module in known:
        return tuple(Target(file, "*") for file in known[made.module] if file != path)
    package, _, name = made.module.rpartition(".")
    return tuple(Target(file, name) for file in known.get(package, ()) if name in project.files[file].by_qualified)


def php(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """A class or function by its namespace; an included file by its path."""
    if made.module.startswith("./"):
        return _included(project, path, made.module)
    package, _, name = made.module.strip("\\").rpartition("\\")
    known = _declared(project, "php")
    return tuple(Target(file, name) for file in known.get(package, ()) if name in project.files[file].by_qualified)


def _included(project: Project, path: str, module: str) -> tuple[Target, ...]:
    folder = path.rpartition("/")[0]
    for candidate in (f"{folder}/{module[2:]}" if folder else module[2:], module[2:]):
        found = project.file(re.sub(r"/+", "/", candidate))
        if found is not None:
            return (Target(found, "*"),)
    return ()


def _declared(project: Project, language: str) -> dict[str, list[str]]:
    """The files of each package of a language."""
    known = cast("dict[str, dict[str, list[str]]]", project.config.setdefault("packages declared", {}))
    if language not in known:
        found: dict[str, list[str]] = {}
        for path, facts in sorted(project.files.items()):
            if facts.language == language:
                found.setdefault(facts.package, []).append(path)
        known[language] = found
    return known[language]
