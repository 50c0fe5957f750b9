"""tree-sitter queries run on a part of a text. Knows no rule."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from tree_sitter import Node, Query, QueryCursor, Tree

from dovetail.serve.constrain.syntax.languages import grammar
from dovetail.serve.edit.policy.matching import Span
from dovetail.serve.edit.policy.origins import Origins


@lru_cache(maxsize=256)
def compiled(language: str, source: str) -> Query:
    """The query.

    Raises:
        tree_sitter.QueryError: it is none of the language.
    """
    return Query(grammar(language), source)


def matches(query: Query, tree: Tree, span: Span) -> Iterator[tuple[int, dict[str, list[Node]]]]:
    """The pattern's number and the captures of every match of which a part lies in, or beside, ``span``."""
    cursor = QueryCursor(query)
    cursor.set_byte_range(max(0, span.start - 1), span.end + 1)
    yield from cursor.matches(tree.root_node, Origins().predicate)
