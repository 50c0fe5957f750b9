"""Path patterns: ``*`` within a folder, ``**`` over folders, ``?`` one character, a folder's name for all below it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path fits one of the patterns."""
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = pattern.removeprefix("./")
    whole = pattern.rstrip("/")
    made = ""
    at = 0
    while at < len(whole):
        if whole.startswith("**/", at):
            made, at = made + "(?:[^/]+/)*", at + 3
        elif whole.startswith("**", at):
            made, at = made + ".*", at + 2
        elif whole[at] == "*":
            made, at = made + "[^/]*", at + 1
        elif whole[at] == "?":
            made, at = made + "[^/]", at + 1
        else:
            made, at = made + re.escape(whole[at]), at + 1
    return re.compile(made + ("(?:/.*)?" if "*" not in whole.rpartition("/")[2] else ""), re.DOTALL)
