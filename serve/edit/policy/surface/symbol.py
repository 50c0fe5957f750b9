"""One exported name and its signature."""

from __future__ import annotations

import re
from typing import NamedTuple

from tree_sitter import Node

from dovetail.serve.edit.policy.matching import line_of

_AFTER_OPENING = re.compile(r"(?<=[(\[{])\s*\n\s*")
_BEFORE_CLOSING = re.compile(r",?\s*\n\s*(?=[)\]}])")


class Symbol(NamedTuple):
    """``name`` with the names it lies in; ``signature``: what callers rely on, each run of blanks as one."""

    name: str
    signature: str
    line: int


def fields(node: Node, *names: str) -> str:
    """The texts of those of the node's fields that are there, however their lines are broken."""
    found = (node.child_by_field_name(name) for name in names)
    texts = ((each.text or b"").decode("utf-8", "replace") for each in found if each is not None)
    return " ".join(_BEFORE_CLOSING.sub("", _AFTER_OPENING.sub("", " ".join(texts))).split())


def symbol(node: Node, name: str, *signature: str) -> Symbol:
    """The symbol that ``node`` makes."""
    return Symbol(name, " ".join(part for part in signature if part), line_of(node))
