"""Forbidden patterns: tree-sitter queries, checked and run. Each finds the nodes that it captures as ``@match``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import QueryError, Tree

from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.edit.policy.document import PatternRule, unusable
from dovetail.serve.edit.policy.matching import Match, Span, text_of
from dovetail.serve.edit.policy.origins import FROM, unreadable
from dovetail.serve.edit.policy.queries import compiled, matches

_PREDICATE = re.compile(r"#([A-Za-z-]+[?!])")
_PREDICATES = frozenset(
    {"eq?", "not-eq?", "any-eq?", "any-not-eq?", "any-of?", "not-any-of?", "match?", "not-match?", "any-match?"}
    | {"any-not-match?", FROM}
)
_BODY = (("", "\n"), ("void f(void) {\n", "\n}\n"))
_FRAMES = {
    "go": (("package p\n\nfunc f() {\n", "\n}\n"), ("package p\n\n", "\n")),
    "c": _BODY,
    "cpp": _BODY,
}
"""What the examples of a language may stand in, where a file does not hold statements."""


def pattern_matches(rule: PatternRule, language: str, tree: Tree, span: Span) -> Iterator[Match]:
    """What ``rule`` finds in ``span``; the key of each is its text."""
    for _, captures in matches(compiled(language, rule.query), tree, span):
        for node in captures.get("match", ()):
            yield Match((text_of(node),), node)


def check_pattern(rule: PatternRule, key: str) -> None:
    """Compile the query and run its examples.

    Raises:
        PolicyError: naming what is wrong under ``key``.
    """
    for name in _PREDICATE.findall(rule.query):
        if name not in _PREDICATES:
            raise unusable(f"{key}.query", f"#{name} is no predicate here; there are {', '.join(sorted(_PREDICATES))}")
    for wrong in unreadable(rule.query):
        raise unusable(f"{key}.query", f"#from?: {wrong}")
    for language in rule.languages:
        try:
            query = compiled(language, rule.query)
        except QueryError as error:
            raise unusable(f"{key}.query", f"no query of {language}: {error}") from error
        if "match" not in [query.capture_name(index) for index in range(query.capture_count)]:
            raise unusable(f"{key}.query", "captures nothing as @match")
        for kind, wanted in (("bad", True), ("good", False)):
            for index, example in enumerate(getattr(rule, kind)):
                if _found(rule, language, example) != wanted:
                    said = "is not found" if wanted else "is found, and should not be"
                    raise unusable(f"{key}.{kind}[{index}]", f"{example!r} {said} in {language}")


def _found(rule: PatternRule, language: str, example: str) -> bool:
    """Whether the rule finds something in the example, in any of its frames."""
    texts = [f"{before}{example}{after}".encode() for before, after in _FRAMES.get(language, (("", "\n"),))]
    return any(
        True for text in texts for _ in pattern_matches(rule, language, parse(language, text), Span(0, len(text)))
    )
