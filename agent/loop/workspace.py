"""Copies of the user's tree in which candidates are tried. The tree itself is only read here."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from dovetail.agent.checks.case import Case, Change, Grants
from dovetail.agent.loop.trajectory import digest
from dovetail.agent.problems import FileProblem
from dovetail.agent.repo.files import digest_of, list_files
from dovetail.agent.repo.index import RepoIndex
from dovetail.agent.sandbox.places import TOOLS

Edit = Mapping[str, str | None]
"""New texts by path; None: the file goes."""

_LARGEST_FILE = 64 << 20
_LARGEST_TREE = 2 << 30


class Workspace:
    """One run's copies.

    One stays as the user's tree was, one shows accepted edits and a candidate to the index, and commands run in two others.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self._pristine, self._shown = Path(os.path.realpath(folder)) / "pristine", folder / "shown"
        self._base, self._tried = folder / "base", folder / "tried"
        self.paths = _copy(root, self._pristine)
        _copy(self._pristine, self._shown, self.paths)
        self.tree = digest({path: _content(self._pristine / path) for path in self.paths})
        self.before = RepoIndex.open(self._shown, folder / "cache")
        self.before.layers.violations()
        self.after = RepoIndex.open(self._shown, folder / "cache")
        self._accepted: dict[str, str | None] = {}
        self._present: dict[str, str | None] = {}

    @classmethod
    @contextmanager
    def open(cls, root: Path) -> Iterator[Self]:
        """Copies in a private folder, which is gone at the end."""
        folder = Path(tempfile.mkdtemp(prefix="dovetail-agent-"))
        try:
            made = cls(root, folder)
            try:
                yield made
            finally:
                made.before.close()
                made.after.close()
        finally:
            remove(folder)

    def original(self, path: str) -> str | None:
        """A file's text in the user's tree; None where there is none, or only a link to another."""
        if not self.is_plain(path):
            return None
        try:
            return (self._pristine / path).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def is_plain(self, path: str) -> bool:
        """Whether no link leads from a path to somewhere else."""
        return os.path.realpath(self._pristine / path) == str(self._pristine / path)

    def current(self, path: str) -> str | None:
        """A file's text with the accepted edits."""
        return self._accepted[path] if path in self._accepted else self.original(path)

    def show(self, edit: Edit, allowed: frozenset[str], grants: Grants) -> Case:
        """The case of the accepted edits with this one."""
        wanted = {**self._accepted, **edit}
        for path in self._present.keys() | wanted.keys():
            text = wanted[path] if path in wanted else self.original(path)
            _put(self._shown, path, text)
        self._present = dict(wanted)
        self.after.refresh()
        return Case(self.before, self.after, self.changes(edit), allowed | self._accepted.keys(), grants)

    def base(self) -> Path:
        """A copy without any edit, for commands to run in."""
        if not self._base.exists():
            _copy(self._pristine, self._base, self.paths)
            self._link_tools(self._base)
        return self._base

    def tried(self, edit: Edit, *, alone: bool = False) -> Path:
        """A fresh copy with the accepted edits and this one (or this one ``alone``), for commands to run in."""
        remove(self._tried)
        _copy(self._pristine, self._tried, self.paths)
        for path, text in {**({} if alone else self._accepted), **edit}.items():
            _put(self._tried, path, text)
        self._link_tools(self._tried)
        return self._tried

    @property
    def accepted(self) -> Mapping[str, str | None]:
        """The accepted edits, as they are now."""
        return dict(self._accepted)

    def back_to(self, accepted: Mapping[str, str | None]) -> None:
        """Take back what was accepted since."""
        self._accepted = dict(accepted)

    def accept(self, edit: Edit) -> None:
        """Take an edit in: later subtasks stand on it."""
        self._accepted.update(edit)

    def changes(self, edit: Edit | None = None) -> dict[str, Change]:
        """Every file that differs from the user's tree."""
        wanted = {**self._accepted, **(edit or {})}
        found = {path: Change(self.original(path), text) for path, text in sorted(wanted.items())}
        return {path: change for path, change in found.items() if change.before != change.after}

    def _link_tools(self, tree: Path) -> None:
        for name in TOOLS:
            if (self.root / name).is_dir() and not os.path.lexists(tree / name):
                (tree / name).symlink_to(os.path.realpath(self.root / name))


def remove(folder: Path) -> None:
    """Delete a folder of copies, also where a command took rights from it. Follows no link."""
    for current, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(current, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path, paths: list[str] | None = None) -> list[str]:
    """Copy the repository's files, and the links that lead to somewhere inside of it."""
    copied, total = [], 0
    target.mkdir(parents=True)
    for path in list_files(source) if paths is None else paths:
        full, goal = source / path, target / path
        try:
            seen = os.lstat(full)
        except OSError:
            continue
        if stat.S_ISLNK(seen.st_mode):
            copied += [path] if _copy_link(source, full, goal) else []
            continue
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > _LARGEST_FILE:
            continue
        total += seen.st_size
        if total > _LARGEST_TREE:
            raise FileProblem(f"{source} holds more than {_LARGEST_TREE >> 30} GiB: too much to copy.")
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(full, goal)
        except OSError as error:
            raise FileProblem(f"{full} cannot be copied: {error.strerror}.") from error
        copied.append(path)
    return copied


def _copy_link(source: Path, link: Path, goal: Path) -> bool:
    leads = os.readlink(link)
    inside = os.path.realpath(link).startswith(os.path.join(os.path.realpath(source), ""))
    if not inside or os.path.isabs(leads):
        return False
    goal.parent.mkdir(parents=True, exist_ok=True)
    goal.symlink_to(leads)
    return True


def _content(path: Path) -> str:
    """What a file holds, or where a link leads, as one name."""
    return f"link {os.readlink(path)}" if path.is_symlink() else digest_of(path.read_bytes())


def _put(tree: Path, path: str, text: str | None) -> None:
    full = tree / path
    if text is None:
        full.unlink(missing_ok=True)
        return
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_bytes(text.encode("utf-8"))
