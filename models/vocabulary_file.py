"""What a tokenizer file gives, whichever library reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from dovetail.models.shield import SpecialRule

_CONTROL = re.compile(r"<[|｜].*[|｜]>|<\[.*\]>", re.DOTALL)


def is_control(content: str, special: bool) -> bool:
    """Whether an added token is a control token: flagged special, or written ``<|like_this|>`` or ``<[like-this]>``.

    Code models publish ``<|fim_prefix|>`` and its kin unflagged; a user's text must not turn into them either.
    """
    return special or _CONTROL.fullmatch(content) is not None


class VocabularyFile(Protocol):
    """One tokenizer file, read."""

    @property
    def spellings(self) -> tuple[bytes | None, ...]:
        """What each id spells; None for special, control and unused ids. The length is the highest id + 1."""
        ...

    @property
    def special(self) -> Mapping[str, int]:
        """Special-token strings and their ids."""
        ...

    @property
    def rules(self) -> Mapping[str, SpecialRule]:
        """How each special token is recognised."""
        ...

    @property
    def frame(self) -> tuple[int, ...]:
        """The ids that the file itself says to put around an empty text."""
        ...

    @property
    def tail(self) -> tuple[int, ...]:
        """Those of the frame that stand behind the text."""
        ...

    def encode(self, text: str, *, first: bool) -> list[int]:
        """Encode text that holds no special tokens. ``first``: it stands at the very beginning of the sequence."""
        ...
