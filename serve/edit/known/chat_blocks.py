"""Search/replace blocks in plain text, as aider's prompts ask for them: whether they are asked for, and what was written.

Read as leniently as the client does that applies them. Knows no conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

HEAD = r"<{5,9} SEARCH>?[ \t\r]*\n"
"""A regular expression of a block's first line."""
DIVIDER, END = "=======\n", ">>>>>>> REPLACE"

_HEAD = re.compile(rf"^{HEAD}", re.MULTILINE)
_DIVIDER = re.compile(r"^={5,9}[ \t\r]*$", re.MULTILINE)
_END = re.compile(r"^>{5,9} REPLACE[ \t\r]*$", re.MULTILINE)
_FENCES = ("```", "~~~", "<source>", "<code>", "<pre>", "<codeblock>", "<sourcecode>")
_DECORATION = " \t\r*`#:"
_BLANK_HEAD = "<<<<<<< SEARCH"


class ChatBlock(NamedTuple):
    """One block. An empty ``old`` makes a file, or adds to one."""

    path: str
    old: str
    new: str


def asks_for_blocks(text: str) -> bool:
    """Whether a message explains such blocks, or shows one."""
    if _BLANK_HEAD not in text:
        return False
    head = _HEAD.search(text)
    divider = _DIVIDER.search(text, head.end()) if head is not None else None
    return divider is not None and _END.search(text, divider.end()) is not None


def holds_marker(text: str) -> bool:
    """Whether a line of a file would be read as one of a block's own."""
    return any(pattern.search(text) is not None for pattern in (_HEAD, _DIVIDER, _END))


def path_above(text: str) -> str:
    """The path in the last line of ``text`` that is no fence; empty: there is none."""
    for line in reversed(text.removesuffix("\n").split("\n")[-3:]):
        if not line.startswith(_FENCES):
            return line.strip(_DECORATION)
    return ""


def lines_replaced(text: str, old: str, new: str) -> str:
    """``text`` with the first lines that are ``old`` as ``new``; with ``new`` behind it where nothing is searched for."""
    if not old:
        return text + new
    at = 0 if text.startswith(old) else text.find(f"\n{old}") + 1
    return text[:at] + new + text[at + len(old) :] if at or text.startswith(old) else text


def chat_blocks(text: str) -> Iterator[ChatBlock]:
    """The complete blocks of a text; one without a path is about the same file as the one before."""
    path, at = "", 0
    while _BLANK_HEAD[:5] in text[at:] and (head := _HEAD.search(text, at)) is not None:
        divider = _DIVIDER.search(text, head.end())
        end = _END.search(text, divider.end()) if divider is not None else None
        if divider is None or end is None:
            return
        path = path_above(text[at : head.start()]) or path
        yield ChatBlock(path, text[head.end() : divider.start()], text[divider.end() + 1 : end.start()])
        at = end.end()
