"""Which functions a text calls, as they are written there. Follows no alias."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from tree_sitter import Node, Tree

from dovetail.serve.edit.policy.matching import Match, Span, text_of
from dovetail.serve.edit.policy.paths import wildcards
from dovetail.serve.edit.policy.queries import compiled, matches

_SCRIPT = "(call_expression function: (_) @callee) @call (new_expression constructor: (_) @callee) @call"
_QUERIES = {
    "python": "(call function: (_) @callee) @call",
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "tsx": _SCRIPT,
    "go": "(call_expression function: (_) @callee) @call",
    "java": "(method_invocation) @call (object_creation_expression type: (_) @callee) @call",
    "c": "(call_expression function: (_) @callee) @call",
    "cpp": "(call_expression function: (_) @callee) @call",
    "rust": "(call_expression function: (_) @callee) @call (macro_invocation macro: (_) @callee) @call",
}

LANGUAGES = frozenset(_QUERIES)
"""The languages whose calls are read."""


def call_matches(forbid: Sequence[str], language: str, tree: Tree, span: Span) -> Iterator[Match]:
    """Calls in ``span`` of what is written like one of ``forbid``."""
    for _, captures in matches(compiled(language, _QUERIES[language]), tree, span):
        node = captures["call"][0]
        callee = _written(captures["callee"][0]) if "callee" in captures else _method(node)
        if any(_like(each).fullmatch(callee) for each in forbid):
            yield Match((callee, text_of(node)), node)


@lru_cache(maxsize=1024)
def _like(name: str) -> re.Pattern[str]:
    return wildcards(name)


def _method(node: Node) -> str:
    target, name = node.child_by_field_name("object"), node.child_by_field_name("name")
    return ".".join(_written(each) for each in (target, name) if each is not None)


def _written(node: Node) -> str:
    """The callee without blanks, and without the question marks of optional chains."""
    return "".join((node.text or b"").decode("utf-8", "replace").split()).replace("?.", ".")
