"""Go: packages below a module's path are folders beside its go.mod; ``replace`` with a local folder is followed."""

from __future__ import annotations

import posixpath
import re
from typing import cast

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.resolve.project import Project, Target, join


def resolve(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """Every file of the package, tests apart."""
    for module, folder in _modules(project):
        if made.module == module or made.module.startswith(module + "/"):
            inside = join(folder, made.module[len(module) + 1 :])
            files = project.folders.get(inside, ())
            found = [file for file in files if file.endswith(".go") and not file.endswith("_test.go")]
            if found:
                return tuple(Target(file, made.name) for file in sorted(found))
    return ()


def _modules(project: Project) -> list[tuple[str, str]]:
    """Module paths and their folders, longest path first."""
    if "go" not in project.config:
        found: dict[str, str] = {}
        for file in sorted(project.by_name.get("go.mod", ())):
            text = project.read(file) or ""
            folder = posixpath.dirname(file)
            named = re.search(r'^\s*module\s+"?([^\s"]+)', text, re.MULTILINE)
            if named:
                found[named[1]] = folder
            for old, new in re.findall(r"^\s*(?:replace\s+)?(\S+)(?:\s+v\S+)?\s*=>\s*(\.\S*)", text, re.MULTILINE):
                found.setdefault(old, join(folder, new))
        project.config["go"] = sorted(found.items(), key=lambda entry: -len(entry[0]))
    return cast("list[tuple[str, str]]", project.config["go"])
