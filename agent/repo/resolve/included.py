"""Languages that include files by path: C, C++ and Ruby."""

from __future__ import annotations

import posixpath

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.resolve.project import Project, Target, join, up

_HEADERS = ("include", "src", "inc")
_RUBY_ROOTS = ("lib", "app", "spec", "test", "")


def c(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """A header beside the file, below ``include`` or a folder around; else the only one whose path ends so."""
    name = made.module.strip("<>")
    around = up(path)
    folders = [posixpath.dirname(path)] if not made.module.startswith("<") else []
    folders += [join(folder, inner) for folder in around for inner in (*_HEADERS, "")]
    for folder in folders:
        found = project.file(join(folder, name))
        if found is not None:
            return (Target(found, "*"),)
    ending = "/" + posixpath.normpath(name)
    same = [file for file in project.by_name.get(posixpath.basename(name), ()) if ("/" + file).endswith(ending)]
    return (Target(same[0], "*"),) if len(same) == 1 and not name.startswith("..") else ()


def ruby(project: Project, path: str, made: Import) -> tuple[Target, ...]:
    """``require_relative`` from the file's folder, ``require`` from lib, app and the root."""
    name = made.module
    folders = [posixpath.dirname(path)] if name.startswith("./") else []
    if not name.startswith("./"):
        folders += [join(folder, inner) for folder in up(path) for inner in _RUBY_ROOTS]
    for folder in folders:
        for ending in ("", ".rb"):
            found = project.file(join(folder, name + ending))
            if found is not None:
                return (Target(found, "*"),)
    return ()
