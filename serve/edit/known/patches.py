"""What an ``apply_patch`` text did to the known files: read leniently, as its client has already accepted it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dovetail.serve.edit.formats.apply_patch.parse import ADD, BEGIN, DELETE, END, END_OF_FILE, MOVE, UPDATE


@dataclass
class FilePatch:
    """One section: ``added`` the content of a new file, ``deleted``, or the old and new texts of an update's hunks."""

    path: str
    added: str | None = None
    deleted: bool = False
    moved_to: str = ""
    hunks: list[tuple[str, str]] = field(default_factory=list)


def file_patches(text: str) -> Iterator[FilePatch]:
    """The sections of the first patch in ``text``."""
    current: FilePatch | None = None
    old: list[str] = []
    new: list[str] = []

    def close() -> None:
        if current is not None and (old or new):
            current.hunks.append(("".join(old), "".join(new)))
        old.clear()
        new.clear()

    _, _, body = text.partition(BEGIN + "\n")
    for line in body.split("\n"):
        head = next((each for each in (ADD, DELETE, UPDATE, END) if line.startswith(each)), None)
        if head is not None:
            close()
            if current is not None:
                yield current
            if head == END:
                return
            current = FilePatch(line.removeprefix(head).strip(), "" if head == ADD else None, head == DELETE)
        elif current is None or line == END_OF_FILE:
            continue
        elif line.startswith(MOVE):
            current.moved_to = line.removeprefix(MOVE).strip()
        elif line.startswith("@@"):
            close()
        elif current.added is not None:
            current.added += line[1:] + "\n"
        else:
            if line[:1] != "+":
                old.append(line[1:] + "\n")
            if line[:1] != "-":
                new.append(line[1:] + "\n")
