"""JavaScript and TypeScript: relative paths, index files, ``paths`` and ``baseUrl`` of tsconfig, packages of a workspace."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from typing import Any, cast

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.resolve.project import Project, Target, join, up

_SUFFIXES = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".json")
_WRITTEN_AS = {".js": (".ts", ".tsx", ".jsx"), ".mjs": (".mts",), ".cjs": (".cts",), ".jsx": (".tsx",)}
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_MOST_EXTENDS = 8


@dataclass(frozen=True)
class _Paths:
    """What a tsconfig says of bare names: patterns with one ``*``, their replacements, and the base folder."""

    base: str | None
    patterns: tuple[tuple[str, tuple[str, ...]], ...]


def resolve(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """The file of a module name; nothing for installed packages."""
    name = made.module
    folder = posixpath.dirname(path)
    if name.startswith((".", "/")):
        candidates = [join(folder, name) if name.startswith(".") else name.lstrip("/")]
    else:
        candidates = [*_mapped(project, folder, name), *_workspace(project, name)]
    for candidate in candidates:
        found = _file(project, candidate)
        if found is not None:
            return (Target(found, made.name),)
    return ()


def _file(project: Project, path: str) -> str | None:
    stem, suffix = posixpath.splitext(path)
    tried = [path] if suffix else []
    tried += [stem + other for other in _WRITTEN_AS.get(suffix, ())]
    tried += [path + other for other in _SUFFIXES]
    tried += [join(path, "index" + other) for other in _SUFFIXES]
    for candidate in tried:
        found = project.file(candidate)
        if found is not None:
            return found
    return None


def _mapped(project: Project, folder: str, name: str) -> list[str]:
    """What the nearest tsconfig or jsconfig makes of a bare name; the longest pattern first."""
    paths = _settings(project, folder)
    found: list[str] = []
    for pattern, replacements in sorted(paths.patterns, key=lambda entry: -len(entry[0].split("*")[0])):
        head, star, tail = pattern.partition("*")
        if (
            star and name.startswith(head) and name.endswith(tail) and len(name) >= len(head + tail)
        ) or pattern == name:
            middle = name[len(head) : len(name) - len(tail)] if star else ""
            found += [replacement.replace("*", middle) for replacement in replacements]
    if paths.base is not None:
        found.append(join(paths.base, name))
    return found


def _settings(project: Project, folder: str) -> _Paths:
    known = project.config.setdefault("tsconfig", {})
    cache = cast("dict[str, _Paths]", known)
    if folder not in cache:
        cache[folder] = _Paths(None, ())
        for around in [folder, *up(folder)] if folder else [""]:
            file = next((join(around, name) for name in _CONFIGS if join(around, name) in project.files), None)
            if file is not None:
                cache[folder] = _read(project, file, 0)
                break
    return cache[folder]


_CONFIGS = ("tsconfig.json", "jsconfig.json", "tsconfig.base.json")


def _read(project: Project, file: str, depth: int) -> _Paths:
    data = _json(project.read(file) or "")
    options = data.get("compilerOptions")
    options = options if isinstance(options, dict) else {}
    here = posixpath.dirname(file)
    base = options.get("baseUrl")
    folder = join(here, base) if isinstance(base, str) else None
    mapping = options.get("paths")
    if isinstance(mapping, dict):
        around = folder if folder is not None else here
        patterns = tuple(
            (pattern, tuple(join(around, one) for one in to if isinstance(one, str)))
            for pattern, to in mapping.items()
            if isinstance(to, list)
        )
        return _Paths(folder, patterns)
    parent = data.get("extends")
    if isinstance(parent, str) and parent.startswith(".") and depth < _MOST_EXTENDS:
        path = join(here, parent if parent.endswith(".json") else parent + ".json")
        inherited = _read(project, path, depth + 1) if path in project.files else _Paths(None, ())
        return _Paths(folder if folder is not None else inherited.base, inherited.patterns)
    return _Paths(folder, ())


def _workspace(project: Project, name: str) -> list[str]:
    """The files of a package of this repository, by the name in its package.json."""
    if "packages" not in project.config:
        packages: dict[str, str] = {}
        for path in project.by_name.get("package.json", ()):
            label = _json(project.read(path) or "").get("name")
            if isinstance(label, str):
                packages.setdefault(label, path)
        project.config["packages"] = packages
    packages = cast("dict[str, str]", project.config["packages"])
    parts = name.split("/")
    package = "/".join(parts[: 2 if name.startswith("@") else 1])
    if package not in packages:
        return []
    folder = posixpath.dirname(packages[package])
    rest = name[len(package) + 1 :]
    if rest:
        return [join(folder, rest), join(folder, "src", rest)]
    data = _json(project.read(packages[package]) or "")
    entries = [data.get(key) for key in ("source", "types", "module", "main")]
    return [join(folder, entry) for entry in entries if isinstance(entry, str)] + [join(folder, "src"), folder]


def _json(text: str) -> dict[str, Any]:
    """JSON with comments and trailing commas, as these files are written; anything else is empty."""
    plain = _COMMENT.sub(lambda found: found[1] or "", text)
    try:
        data = json.loads(re.sub(r",(\s*[}\]])", r"\1", plain))
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
