"""The snapshots of one work tree: taken, listed, compared, brought back. The user's repository is never touched."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dovetail.agent.problems import SnapshotProblem
from dovetail.agent.sandbox.snapshots.entries import Entry, Snapshot, changed
from dovetail.agent.sandbox.snapshots.objects import Objects
from dovetail.agent.sandbox.snapshots.restore import Restored, restore
from dovetail.agent.sandbox.snapshots.scan import CACHES, Known, Scan

LARGEST = 64 << 20
"""Bytes: larger files are named as uncovered, and not kept."""


class Snapshots:
    """``store``: where they are kept, by default below the user's cache folder; never inside the work tree."""

    def __init__(self, root: Path, store: Path | None = None, largest: int = LARGEST) -> None:
        try:
            self.root = root.resolve(strict=True)
        except OSError as error:
            raise SnapshotProblem(f"{root} cannot be kept: {error.strerror}.") from error
        folder = _default_store(self.root) if store is None else Path(os.path.abspath(store))
        if folder.resolve().is_relative_to(self.root):
            raise SnapshotProblem(f"{folder} lies in the work tree: commands could change the snapshots there.")
        folder.mkdir(parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
        (folder / "snapshots").mkdir(exist_ok=True)
        self._folder, self._largest = folder, largest
        self._objects = Objects(folder)
        self.hashed = 0
        """How many files the last pass had to read."""

    def take(self, label: str = "") -> Snapshot:
        """Keep the tree as it is now."""
        with self._lock():
            return self._take(label)

    def history(self) -> list[Snapshot]:
        """All that are kept, the oldest first."""
        files = sorted((self._folder / "snapshots").glob("*.json"))
        return [Snapshot.from_json(file.read_text("ascii")) for file in files]

    def get(self, identifier: str) -> Snapshot:
        """By its id.

        Raises:
            SnapshotProblem: there is none.
        """
        file = self._folder / "snapshots" / f"{identifier}.json"
        if "/" in identifier or not file.exists():
            raise SnapshotProblem(f"There is no snapshot {identifier!r} of {self.root}.")
        return Snapshot.from_json(file.read_text("ascii"))

    def changes(self, before: Snapshot, after: Snapshot) -> list[str]:
        """The paths that differ."""
        return changed(before.entries, after.entries)

    def diff(self, before: Snapshot, after: Snapshot) -> str:
        """The difference as a patch that ``git apply`` takes. Empty folders and modes beyond x are not in it."""
        trees = [self._objects.tree(each.entries) for each in (before, after)]
        command = ["git", f"--git-dir={self._folder}", "diff", "--binary", "--no-ext-diff", "--no-textconv", *trees]
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **settings}
        done = subprocess.run(command, env=environment, cwd=self._folder, capture_output=True, check=False)
        if done.returncode:
            raise SnapshotProblem(f"git cannot compare the snapshots: {done.stderr.decode('utf-8', 'replace').strip()}")
        return done.stdout.decode("utf-8", "surrogateescape")

    def restore(self, snapshot: Snapshot, expected: Snapshot | None = None) -> Restored:
        """Bring the tree back. What is there now is kept as a snapshot first ("before undo").

        With ``expected``, what the commands left: only paths that are still as they left them are touched.

        Raises:
            SnapshotProblem: contents are missing in the store (nothing was changed), or paths could not be written.
        """
        with self._lock():
            _make_readable(self.root, set(snapshot.uncovered))
            current = self._take("before undo")
            needed = {each.content for each in snapshot.entries.values() if each.content}
            missing = [name for name in needed if not self._objects.has(name)]
            if missing:
                raise SnapshotProblem(f"{len(missing)} contents of the snapshot are not in the store any more.")
            before = None if expected is None else expected.entries
            done = restore(
                self.root,
                current.entries,
                snapshot.entries,
                current.uncovered,
                self._objects.read,
                before,
                snapshot.uncovered,
            )
        if done.failed:
            raise SnapshotProblem("Not everything could be brought back: " + "; ".join(done.failed[:20]) + ".")
        return done

    def prune(self, keep: int) -> None:
        """Forget all but the newest ``keep`` snapshots, and the contents that no other needs."""
        with self._lock():
            files = sorted((self._folder / "snapshots").glob("*.json"))
            for file in files[: max(0, len(files) - keep)]:
                file.unlink()
            self._objects.drop_all_but({entry.content for each in self.history() for entry in each.entries.values()})
            self._remember({})

    def _take(self, label: str) -> Snapshot:
        known = self._recall()
        scan = Scan(self.root, known, lambda content: self._objects.write("blob", content), self._largest)
        scan.run()
        self.hashed = scan.hashed
        self._remember(known)
        entries: dict[str, Entry] = dict(sorted(scan.entries.items()))
        taken = time.time()
        digest = hashlib.sha256(json.dumps([taken, entries]).encode()).hexdigest()
        snapshot = Snapshot(f"{time.time_ns():020d}-{digest[:8]}", label, taken, entries, scan.uncovered)
        self._write(self._folder / "snapshots" / f"{snapshot.id}.json", snapshot.to_json())
        return snapshot

    def _recall(self) -> dict[str, Known]:
        try:
            stored = json.loads((self._folder / "known.json").read_text("ascii"))
        except (OSError, ValueError):
            return {}
        return {path: Known(*fields) for path, fields in stored.items()}

    def _remember(self, known: dict[str, Known]) -> None:
        self._write(self._folder / "known.json", json.dumps(known))

    def _write(self, target: Path, text: str) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(temporary, target)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with open(self._folder / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _default_store(root: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "dovetail" / "snapshots" / hashlib.sha256(os.fsencode(root)).hexdigest()[:20]


def _make_readable(root: Path, unknown: Collection[str]) -> None:
    """Let the owner into folders that a command closed, and that were open before."""
    for current, folders, _ in os.walk(root):
        folders[:] = [name for name in folders if name not in CACHES and name != ".git"]
        for name in folders:
            path = Path(current, name)
            if str(path.relative_to(root)) in unknown:
                continue
            status = path.lstat()
            if path.is_dir() and not path.is_symlink() and status.st_mode & 0o500 != 0o500:
                os.chmod(path, status.st_mode | 0o700)
