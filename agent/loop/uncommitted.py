"""Which files hold work of the user's that git does not have. Changes nothing, runs nothing of the repository's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 60


def uncommitted(root: Path, paths: Sequence[str]) -> list[str]:
    """Those of the files that differ from the last commit, or are not in it: all of them where there is no repository."""
    there = [path for path in paths if (root / path).is_file()]
    prefix = _git(root, "rev-parse", "--show-prefix")
    if not there or prefix is None:
        return sorted(there)
    options = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=matching")
    said = _git(root, "status", *options, "--", *there)
    if said is None:
        return sorted(there)
    begin = prefix.removesuffix("\n")
    listed = {entry[3:].removeprefix(begin) for entry in said.split("\0") if len(entry) > 3}
    return sorted(path for path in there if path in listed or any(_holds(each, path) for each in listed))


def _holds(folder: str, path: str) -> bool:
    """Whether git named a whole folder, as it does where all of it is ignored, or a repository of its own."""
    return folder.endswith("/") and path.startswith(folder)


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None where it, or a repository, is not there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else os.fsdecode(done.stdout)
