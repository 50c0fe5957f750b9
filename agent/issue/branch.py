"""A branch with a work tree of its own. The user's work tree, index and branch stay as they are; nothing is ever pushed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dovetail.agent.problems import FileProblem
from dovetail.agent.sandbox.places import TOOLS

_SECONDS = 120
# hooks would run code of the agent's making outside of the sandbox
_ALWAYS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false")


class Branch:
    """A new branch from the present commit, in a new folder."""

    def __init__(self, repository: Path, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.repository = Path(_git(repository, "rev-parse", "--show-toplevel").strip())
        try:
            _git(repository, "check-ref-format", "--branch", name)
        except FileProblem as error:
            raise FileProblem(f"{name!r} is no name that git allows for a branch.") from error
        if _git(repository, "branch", "--list", "--format=%(refname:short)", name).strip():
            raise FileProblem(f"The branch {name} exists already; choose another name.")
        self.base = _git(repository, "rev-parse", "--verify", "HEAD").strip()
        _git(repository, "var", "GIT_AUTHOR_IDENT")

    @property
    def uncommitted(self) -> bool:
        """Whether the user's tree holds changes that the branch does not start from."""
        return bool(_git(self.repository, "status", "--porcelain").strip())

    def open(self) -> None:
        """Make branch and folder; installed tools of the project are linked into it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _git(self.repository, "worktree", "add", "--quiet", "-b", self.name, str(self.folder), self.base)
        for name in TOOLS:
            if (self.repository / name).is_dir() and not os.path.lexists(self.folder / name):
                (self.folder / name).symlink_to(os.path.realpath(self.repository / name))

    def commit(self, paths: Sequence[str], message: str) -> str:
        """Commit these files there; the commit's name. The author is the one of git's settings."""
        self._unlink_tools()
        _git(self.folder, "add", "--", *paths)
        _git(self.folder, "commit", "--quiet", "--no-verify", "--cleanup=verbatim", "-F", "-", text=message)
        return _git(self.folder, "rev-parse", "HEAD").strip()

    def drop(self) -> None:
        """Take back folder and branch, as long as no commit is in it."""
        self._unlink_tools()
        if _git(self.folder, "rev-parse", "HEAD").strip() == self.base:
            _git(self.repository, "worktree", "remove", "--force", str(self.folder))
            _git(self.repository, "branch", "--quiet", "-D", self.name)

    def _unlink_tools(self) -> None:
        for name in TOOLS:
            if (self.folder / name).is_symlink() and not _git(self.folder, "ls-files", "--", name).strip():
                (self.folder / name).unlink()


def slug(text: str) -> str:
    """A folder's name from any text."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:60] or "branch"


def _git(folder: Path, *arguments: str, text: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true"}
    try:
        done = subprocess.run(
            ["git", *_ALWAYS, *arguments],
            cwd=folder,
            env=environment,
            input=None if text is None else text.encode(),
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FileProblem(f"git {arguments[0]} cannot be run: {error}.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise FileProblem(f"git {arguments[0]} refuses in {folder}: {said}")
    return done.stdout.decode("utf-8", "surrogateescape")
