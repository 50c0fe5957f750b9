"""What may watch a text that a call writes: the seam, and several watches as one. Knows no judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TextWatch(Protocol):
    """An immutable judge of one text, told all of it each time, as it is written (in JSON or as it is)."""

    def after(self, written: bytes, held_back: int = 0) -> TextWatch | None:
        """With all of ``written`` but the last ``held_back`` bytes; None if no text goes on like this. May raise Pending."""
        ...

    def ends(self, written: bytes) -> bool:
        """Whether the text may end, all of ``written`` having been seen. May raise Pending."""
        ...

    def let_go(self) -> bool:
        """Refuse nothing from now on, in any state; False: that was so already."""
        ...


class Together:
    """All of ``watches``."""

    def __init__(self, watches: Sequence[TextWatch]) -> None:
        self._watches = tuple(watches)

    def after(self, written: bytes, held_back: int = 0) -> Together | None:
        """See TextWatch."""
        seen: list[TextWatch] = []
        for watch in self._watches:
            after = watch.after(written, held_back)
            if after is None:
                return None
            seen.append(after)
        return Together(seen)

    def ends(self, written: bytes) -> bool:
        """See TextWatch."""
        return all(watch.ends(written) for watch in self._watches)

    def let_go(self) -> bool:
        """The first that has not been let go."""
        return any(watch.let_go() for watch in self._watches)
