"""The record of a run: JSON lines, each on the disk before the run goes on; and the way back into a run.

The first line has ``kind`` "run": ``version``, ``task``, ``root``, ``settings`` and ``tree``, the digest of the files.
Then come, in the order of time: "event" (``event``, as ``--json`` prints it), "answer" and "command" (``key``, the digest
of what was asked, and ``value``, what came back), "resumed", and "end". All else follows from the answers: a run that is
taken up again computes the same steps, and asks only what was not answered. A torn last line is dropped.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from dovetail.agent.problems import FileProblem
from dovetail.agent.state_folder import state_folder

VERSION = 1
_LARGEST = 1 << 30


def default_folder() -> Path:
    """Where runs are kept: below the user's state folder, never inside a repository."""
    return state_folder() / "runs"


def digest(value: Any) -> str:
    """A name for what was asked."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Trajectory:
    """An open record. ``start`` and ``resume`` make one."""

    def __init__(self, path: Path, header: Mapping[str, Any], known: list[dict[str, Any]]) -> None:
        self.path = path
        self.header = header
        self._known: dict[str, deque[Any]] = {}
        for record in known:
            if record.get("kind") in ("answer", "command"):
                self._known.setdefault(str(record.get("key")), deque()).append(record.get("value"))
        self._file = path.open("ab")

    @classmethod
    def start(cls, path: Path, header: Mapping[str, Any]) -> Self:
        """A new record; an existing file is never written over."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError as error:
            raise FileProblem(f"{path} exists; --resume takes it up again.") from error
        except OSError as error:
            raise FileProblem(f"{path} cannot be written: {error.strerror}.") from error
        full = {"kind": "run", "version": VERSION, **header}
        made = cls(path, full, [])
        made.append(full)
        return made

    @classmethod
    def resume(cls, path: Path) -> Self:
        """The record of an earlier run, to go on with."""
        records, whole = read(path)
        with open(path, "r+b") as file:
            file.truncate(whole)
        made = cls(path, records[0], records)
        made.append({"kind": "resumed"})
        return made

    @classmethod
    def begin(cls, path: Path, header: Mapping[str, Any], *, resume: bool) -> Self:
        """A new record, or an earlier one to go on with, if the files are as they were then (``tree`` of the header)."""
        if not resume:
            return cls.start(path, header)
        made = cls.resume(path)
        if made.header.get("tree") != header.get("tree"):
            made.close()
            raise FileProblem("The repository has changed since that run began; start a new one.")
        return made

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep a record: it is on the disk when this returns."""
        line = json.dumps({**record, "at": round(time.time(), 3)}, ensure_ascii=True)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def known(self, key: str) -> tuple[bool, Any]:
        """Whether the earlier run has an answer to this question left, and which."""
        answers = self._known.get(key)
        return (True, answers.popleft()) if answers else (False, None)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def is_repair(path: Path) -> bool:
    """Whether a record is one of a failing command that was to be mended, not of a task."""
    settings = read(path)[0][0].get("settings")
    return isinstance(settings, dict) and "command" in settings


def read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a run, and how many bytes of the file they take."""
    try:
        if path.stat().st_size > _LARGEST:
            raise FileProblem(f"{path} is too large for a trajectory.")
        raw = path.read_bytes()
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}.") from error
    records, whole = [], 0
    for line, record in _lines(raw):
        whole += len(line)
        records.append(record)
    if not records or records[0].get("kind") != "run" or records[0].get("version") != VERSION:
        raise FileProblem(f"{path} is no trajectory of this version of Dovetail's agent.")
    return records, whole


def _lines(raw: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    for line in raw.splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:
            return
        if not line.endswith(b"\n") or not isinstance(record, dict):
            return
        yield line, record
