"""A UTF-8 decoder's state as a small number, so that text can be checked token by token. Knows no tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

START = 0
"""Between two characters."""

# Table 3-7 of the Unicode standard: after a lead byte, how many bytes are due, and the range of the next one.
_DUE: tuple[tuple[int, int, int], ...] = (
    (0, 0x00, 0x00),  # START
    (1, 0x80, 0xBF),
    (2, 0x80, 0xBF),
    (3, 0x80, 0xBF),
    (2, 0xA0, 0xBF),  # after E0
    (2, 0x80, 0x9F),  # after ED
    (3, 0x90, 0xBF),  # after F0
    (3, 0x80, 0x8F),  # after F4
)
ONE_MISSING = 1
"""Inside a character whose last byte comes next."""
STATES = len(_DUE)
CONTINUATIONS = range(1, STATES)
"""The states inside a character."""

_SPECIAL_LEADS = {0xE0: 4, 0xED: 5, 0xF0: 6, 0xF4: 7}
_USUAL_CONTROLS = frozenset(b"\t\n\f")


def _step(state: int, byte: int) -> int | None:
    if state == START:
        if byte < 0x80:
            return START
        if byte in _SPECIAL_LEADS:
            return _SPECIAL_LEADS[byte]
        if 0xC2 <= byte <= 0xDF:
            return 1
        if 0xE1 <= byte <= 0xEF:
            return 2
        return 3 if 0xF1 <= byte <= 0xF3 else None
    due, low, high = _DUE[state]
    return due - 1 if low <= byte <= high else None


def completions() -> Iterator[bytes]:
    """What may end a character of which one byte is missing."""
    _, low, high = _DUE[ONE_MISSING]
    return (bytes((byte,)) for byte in range(low, high + 1))


def run(state: int, data: bytes) -> int | None:
    """The decoder's state after ``data``; None if no text goes on like this."""
    index = 0
    while state != START and index < len(data):
        following = _step(state, data[index])
        if following is None:
            return None
        state, index = following, index + 1
    if state != START or index == len(data):
        return state
    try:
        data[index:].decode()
    except UnicodeDecodeError as error:
        tail = data[index + error.start :]
        if len(tail) > 3:
            return None
        after: int | None = START
        for byte in tail:
            after = None if after is None else _step(after, byte)
        return after
    return START


@cache
def forbidden_controls(usual: frozenset[int] = _USUAL_CONTROLS) -> re.Pattern[bytes]:
    """A pattern that finds a control character that is not in ``usual``."""
    controls = bytes(byte for byte in (*range(0x20), 0x7F) if byte not in usual)
    return re.compile(b"[" + re.escape(controls) + b"]" if controls else b"(?!)")


def controls_for(content: bytes) -> re.Pattern[bytes]:
    """Finds the control characters that a replacement in ``content`` may not hold: those that no source file has.

    Tab, line feed and form feed always pass, and whatever ``content`` itself holds.
    """
    held = frozenset(byte for byte in (*range(1, 0x20), 0x7F) if byte in content)
    return forbidden_controls(_USUAL_CONTROLS | held)
