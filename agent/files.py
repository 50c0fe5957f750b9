"""Reading source files for an edit and writing them back: exactly, atomically, with their mode. Knows no server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dovetail.agent.problems import FileProblem


@dataclass(frozen=True)
class Source:
    """A file as it was read. ``label`` is its path as the server sees it: relative, with forward slashes."""

    label: str
    path: Path
    content: str


def read_sources(paths: Sequence[Path], base: Path) -> list[Source]:
    """The files, labelled relative to ``base`` if they are all below it, else to the folder they share."""
    absolute = [Path(os.path.abspath(base / path)) for path in paths]
    twice = {str(path) for path in absolute if absolute.count(path) > 1}
    if twice:
        raise FileProblem(f"{min(twice)} is given twice.")
    root = base
    if not all(path.is_relative_to(base) for path in absolute):
        root = Path(os.path.commonpath([path.parent for path in absolute]))
    return [Source(path.relative_to(root).as_posix(), path, _read_text(path)) for path in absolute]


def write_source(source: Source, content: str) -> None:
    """Replace the file's content in one step, if nobody has changed it since it was read."""
    target = Path(os.path.realpath(source.path))
    if _read_text(target) != source.content:
        raise FileProblem(f"{source.path} has changed since it was read; nothing was written to it.")
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise FileProblem(f"{target.parent} cannot be written to: {error.strerror}.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), target.stat().st_mode & 0o7777)
            file.write(content.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise FileProblem(f"{source.path} could not be written: {error.strerror}.") from error


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise FileProblem(f"{path} does not exist.") from error
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}.") from error
    if b"\0" in raw:
        raise FileProblem(f"{path} is a binary file (it holds NUL bytes).")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileProblem(f"{path} is not UTF-8 text (byte {error.start}).") from error
