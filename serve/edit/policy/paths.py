"""Path globs: ``*`` and ``?`` within a folder's name, ``**`` for any folders. Looks at no disk.

A glob is read from the project's root and matches the whole path: ``*.py`` is a file in the root, ``**/*.py`` any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_REFUSED = {"[": "?", "]": "?", "{": "several globs", "}": "several globs", "!": "paths.protect", "\\": "/"}


class GlobError(ValueError):
    """Why a text is no glob, in words that follow it."""


class Glob:
    """One glob.

    Raises:
        GlobError: it is empty, absolute, ends in a slash, or holds what other tools read as more than a character.
    """

    __slots__ = ("_leads", "_literal", "_segments", "text")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        for character, instead in _REFUSED.items():
            if character in text:
                raise GlobError(f"holds {character!r}, which globs here do not have; use {instead}")
        parts = text.split("/")
        if any(part in ("", ".", "..") for part in parts):
            hint = f"; write {text}**" if text.endswith("/") and text != "/" else "; write it from the project's root"
            raise GlobError(f"begins or ends with a slash, or has an empty, '.' or '..' part{hint}")
        if any("**" in part and part != "**" for part in parts):
            raise GlobError("has '**' beside other characters; it stands for whole folders")
        self.text = text
        self._segments = [None if part == "**" else wildcards(part, ignore_case=ignore_case) for part in parts]
        self._leads = [_lead(part) for part in parts]
        self._literal = [_lead(part) == part for part in parts]

    def matches(self, path: str) -> bool:
        """Whether the whole path is one that the glob names."""
        parts = path.split("/")
        if self._segments[-1] is None:  # Stands for at least one name.
            return bool(parts[-1]) and len(self._segments) - 1 in self._behind(parts[:-1])
        return len(self._segments) in self._behind(parts)

    def may_match(self, beginning: str) -> bool:
        """Whether a path that begins so may be one. Never False for such a path; for globs that do not ignore case."""
        *folders, last = beginning.split("/")
        states = [state for state in self._behind(folders) if state < len(self._segments)]
        return any(
            self._segments[state] is None
            or self._leads[state].startswith(last)
            or (last.startswith(self._leads[state]) and not self._literal[state])
            for state in states
        )

    def covers(self, beginning: str) -> bool:
        """Whether every path that begins so is one."""
        return self._segments[-1] is None and len(self._segments) - 1 in self._behind(beginning.split("/")[:-1])

    def lead(self, beginning: str) -> str | None:
        """What follows ``beginning`` up to the first wildcard; empty: not such a path; None: that has been reached."""
        literal = _lead(self.text)
        if literal.startswith(beginning) and len(literal) > len(beginning):
            return literal[len(beginning) :]
        return None if beginning.startswith(literal) and literal != self.text else ""

    def _behind(self, parts: Sequence[str]) -> set[int]:
        """The segments that may come next behind ``parts``: linear, whatever the glob."""
        states = self._spread({0})
        for part in parts:
            following = set()
            for state in states:
                if state == len(self._segments):
                    continue
                wanted = self._segments[state]
                if wanted is None:
                    following.add(state)
                elif wanted.fullmatch(part):
                    following.add(state + 1)
            states = self._spread(following)
        return states

    def _spread(self, states: set[int]) -> set[int]:
        """With what comes behind a ``**``, which may stand for no folder."""
        found = set(states)
        for state in states:
            while state < len(self._segments) and self._segments[state] is None:
                state += 1
                found.add(state)
        return found


def _lead(text: str) -> str:
    """What stands before the first wildcard."""
    return re.split(r"[*?]", text)[0]


def wildcards(text: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """``text`` as an expression, where ``*`` is any text and ``?`` any character.

    Each run between two stars is taken where it is found first, once and for all, so matching never backtracks far.
    """
    first, *rest = [
        "".join("." if char == "?" else re.escape(char) for char in piece) for piece in re.split(r"\*+", text)
    ]
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    tail = f".*{rest[-1]}" if rest else ""
    return re.compile(first + middle + tail, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


@lru_cache(maxsize=4096)
def glob(text: str, *, ignore_case: bool = False) -> Glob:
    """The glob of a text that has been checked."""
    return Glob(text, ignore_case=ignore_case)


def any_matches(globs: Iterable[str], path: str, *, ignore_case: bool = False) -> bool:
    """Whether one of ``globs`` names ``path``."""
    return any(glob(each, ignore_case=ignore_case).matches(path) for each in globs)
