"""What a snapshot holds: paths with kind, mode and content. Reads no work tree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

TOP = "."
"""The work tree itself, as a path of a snapshot."""


class Entry(NamedTuple):
    """One path. ``kind``: file, link or folder; ``content``: the object's name, of a link the target's."""

    kind: str
    mode: int
    content: str
    modified: int
    """Nanoseconds; brought back with the content, and no part of any comparison."""

    def same(self, other: Entry | None) -> bool:
        """Whether kind, mode and content are equal."""
        return other is not None and self[:3] == other[:3]


@dataclass(frozen=True)
class Snapshot:
    """A work tree at one moment. ``uncovered``: paths that are there but not kept, with the reason."""

    id: str
    label: str
    taken: float
    entries: Mapping[str, Entry]
    uncovered: Mapping[str, str]

    def to_json(self) -> str:
        """As it is stored; names that are no text survive."""
        return json.dumps(
            {
                "id": self.id,
                "label": self.label,
                "taken": self.taken,
                "entries": dict(self.entries),
                "uncovered": dict(self.uncovered),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """What ``to_json`` wrote."""
        values = json.loads(text)
        entries = {path: Entry(*fields) for path, fields in values["entries"].items()}
        return cls(values["id"], values["label"], values["taken"], entries, values["uncovered"])


def changed(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[str]:
    """The paths that differ, sorted."""
    paths = [path for path, entry in before.items() if not entry.same(after.get(path))]
    return sorted([*paths, *(path for path in after if path not in before)])
