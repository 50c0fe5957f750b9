"""Brings a work tree back to a snapshot: writes only what differs, follows no link. No command may run meanwhile."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dovetail.agent.sandbox.snapshots.entries import TOP, Entry, changed
from dovetail.agent.sandbox.snapshots.scan import CACHED


@dataclass(frozen=True)
class Restored:
    """What was done. ``kept``: paths that somebody else changed in between, or that the snapshot does not cover."""

    paths: tuple[str, ...]
    kept: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def restore(
    root: Path,
    current: Mapping[str, Entry],
    wanted: Mapping[str, Entry],
    uncovered: Mapping[str, str],
    read: Callable[[str], bytes],
    expected: Mapping[str, Entry] | None = None,
    unknown: Collection[str] = (),
) -> Restored:
    """Make ``current``, which is what the tree holds, into ``wanted``.

    ``uncovered``: paths that are there and in no snapshot; they stay, and so do the folders that hold them.
    ``expected``: what commands left; a path that is different by now belongs to somebody else and stays.
    ``unknown``: paths that the wanted snapshot does not cover; what is there, and below, stays as it is.
    """
    paths = changed(current, wanted)
    unknown = set(unknown)
    kept = tuple(
        path
        for path in paths
        if (path not in wanted and not unknown.isdisjoint(_with_folders(path)))
        or (expected is not None and not _as_left(path, current, expected))
    )
    above = {each for path in kept for each in _with_folders(path)}
    mine = [path for path in paths if path not in above]
    failed: list[str] = []
    for path in reversed(mine):  # what lies inside a folder comes before the folder
        entry, target = current.get(path), wanted.get(path)
        if entry is not None and (target is None or target.kind != entry.kind):
            with _failures(failed, path):
                _remove(root / path, entry, path, uncovered)
    for path in mine:
        if path in wanted:
            with _failures(failed, path):
                _put(root / path, wanted[path], current.get(path), read)
    _times_of_folders(root, mine, wanted)
    return Restored(tuple(mine), kept, tuple(failed))


def _with_folders(path: str) -> list[str]:
    """A path and the folders that it lies in."""
    parts = path.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _as_left(path: str, current: Mapping[str, Entry], expected: Mapping[str, Entry]) -> bool:
    here = current.get(path)
    return path not in expected if here is None else here.same(expected.get(path))


@contextmanager
def _failures(failed: list[str], path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failed.append(f"{path}: {error.strerror}")


def _remove(path: Path, entry: Entry, name: str, uncovered: Mapping[str, str]) -> None:
    _open_folder(path.parent)
    if entry.kind != "folder":
        path.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):
        try:
            os.rmdir(path)
        except OSError:
            inside = [each for each in uncovered if each.startswith(name + "/")]
            if any(uncovered[each] != CACHED for each in inside):
                raise
            for each in inside:
                shutil.rmtree(path / os.path.relpath(each, name))
            os.rmdir(path)


def _put(path: Path, wanted: Entry, here: Entry | None, read: Callable[[str], bytes]) -> None:
    if wanted.kind == "folder":
        if path.is_symlink() or not path.is_dir():
            _open_folder(path.parent)
            path.unlink(missing_ok=True)
            path.mkdir()
        os.chmod(path, wanted.mode | 0o700)  # its own mode comes last
        return
    _open_folder(path.parent)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    if wanted.kind == "link":
        temporary = tempfile.mktemp(dir=path.parent, prefix=".dovetail-")
        os.symlink(os.fsdecode(read(wanted.content)), temporary)
        os.replace(temporary, path)
    elif here is not None and here.kind == "file" and here.content == wanted.content:
        os.chmod(path, wanted.mode)
    else:
        content = read(wanted.content)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".dovetail-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), wanted.mode)
        os.utime(temporary, ns=(wanted.modified, wanted.modified))
        os.replace(temporary, path)


def _open_folder(folder: Path) -> None:
    """Let the owner work in a folder whose rights a command took away; the snapshot's mode comes back afterwards."""
    mode = stat.S_IMODE(folder.lstat().st_mode)
    if mode & 0o700 != 0o700:
        os.chmod(folder, mode | 0o700)


def _times_of_folders(root: Path, paths: Sequence[str], wanted: Mapping[str, Entry]) -> None:
    """Folders that were worked in get their mode and time again, innermost first."""
    folders = {path for path in paths if path in wanted and wanted[path].kind == "folder"}
    folders |= {path.rpartition("/")[0] or TOP for path in paths}
    for path in sorted(folders, reverse=True):
        entry = wanted.get(path)
        if entry is not None and entry.kind == "folder":
            with suppress(OSError):
                os.chmod(root / path, entry.mode)
                os.utime(root / path, ns=(entry.modified, entry.modified), follow_symlinks=False)
