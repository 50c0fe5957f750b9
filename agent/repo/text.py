"""Text of a repository as it may be shown: names split into words, paths and code without control characters."""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def words_of(name: str) -> list[str]:
    """The words of an identifier or path, in lower case: ``parseHTTPHeader_v2`` is parse, http, header, v, 2."""
    return [word.lower() for word in _WORD.findall(name)]


def printable(text: str) -> str:
    """The text on one line, with nothing that moves a terminal's cursor or is no character."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
