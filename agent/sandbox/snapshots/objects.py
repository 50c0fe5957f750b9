"""A store of git objects: blobs and trees in git's own format, so that git can compare them. Knows no work tree."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from dovetail.agent.problems import SnapshotProblem
from dovetail.agent.sandbox.snapshots.entries import TOP, Entry

_TREE_MODE = {"folder": b"40000", "link": b"120000"}


class Objects:
    """Loose objects below ``folder``/objects; the folder is a bare repository without commits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("objects", "refs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if not (folder / "HEAD").exists():
            (folder / "HEAD").write_text("ref: refs/heads/none\n")

    def write(self, kind: str, content: bytes) -> str:
        """Keep an object; its name."""
        data = b"%s %d\0" % (kind.encode(), len(content)) + content
        name = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        target = self._path(name)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder / "objects")
            with os.fdopen(handle, "wb") as file:
                file.write(zlib.compress(data, 1))
            os.replace(temporary, target)
        return name

    def read(self, name: str) -> bytes:
        """An object's content.

        Raises:
            SnapshotProblem: it is missing or damaged.
        """
        try:
            data = zlib.decompress(self._path(name).read_bytes())
        except (OSError, zlib.error) as error:
            raise SnapshotProblem(f"The snapshot store lacks {name}, or it is damaged: {error}.") from error
        if hashlib.sha1(data, usedforsecurity=False).hexdigest() != name:
            raise SnapshotProblem(f"The snapshot store's {name} is damaged.")
        return data.partition(b"\0")[2]

    def has(self, name: str) -> bool:
        """Whether an object is kept."""
        return self._path(name).exists()

    def tree(self, entries: Mapping[str, Entry]) -> str:
        """The tree that git would make of these paths, with empty folders."""
        inside: dict[str, list[str]] = {"": []}
        for path, entry in entries.items():
            if path == TOP:
                continue
            inside.setdefault(path.rpartition("/")[0], []).append(path)
            if entry.kind == "folder":
                inside.setdefault(path, [])
        return self._tree("", inside, entries)

    def drop_all_but(self, names: set[str]) -> None:
        """Forget the other objects."""
        for path in (self.folder / "objects").glob("??/*"):
            if path.parent.name + path.name not in names:
                path.unlink()

    def _tree(self, folder: str, inside: Mapping[str, list[str]], entries: Mapping[str, Entry]) -> str:
        lines = []
        for path in inside[folder]:
            entry, name = entries[path], os.fsencode(path.rpartition("/")[2])
            content = self._tree(path, inside, entries) if entry.kind == "folder" else entry.content
            mode = _TREE_MODE.get(entry.kind) or (b"100755" if entry.mode & 0o100 else b"100644")
            order = name + (b"/" if entry.kind == "folder" else b"")
            lines.append((order, mode + b" " + name + b"\0" + bytes.fromhex(content)))
        return self.write("tree", b"".join(line for _, line in sorted(lines)))

    def _path(self, name: str) -> Path:
        return self.folder / "objects" / name[:2] / name[2:]
