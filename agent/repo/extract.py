"""From the bytes of one source file to its facts, by tree-sitter. Knows no repository and no disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tree_sitter import Parser, QueryCursor, Tree

from dovetail.agent.repo.facts import Fault, RawFacts
from dovetail.agent.repo.imports import Captures, read_import
from dovetail.agent.repo.languages import Grammar, grammar
from dovetail.agent.repo.naming import names_used
from dovetail.agent.repo.outline import outline

_MINIFIED_BYTES = 20_000
_MINIFIED_LINE = 400
_MOST_FAULTS = 20


def extract(content: bytes, languages: Sequence[str]) -> RawFacts:
    """The facts of a file that may be in one of ``languages``: the one whose grammar finds fewest errors.

    Hostile text takes parsers memory and time that grow with its square: see scan.py.
    """
    lines = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    refusal = _unreadable(content, lines)
    if refusal:
        return RawFacts(languages[0], lines, skipped=refusal)
    best: _Tried | None = None
    for name in languages:
        chosen = grammar(name)
        tree = Parser(chosen.language).parse(content)
        tried = _Tried(_faults(tree, chosen), chosen, tree)
        if best is None or len(tried.faults) < len(best.faults):
            best = tried
        if not best.faults:
            break
    assert best is not None
    return _read(content, best, lines)


class _Tried(NamedTuple):
    """A tree of one of the languages that a file may be in."""

    faults: list[Fault]
    grammar: Grammar
    tree: Tree


def _unreadable(content: bytes, lines: int) -> str:
    if b"\0" in content:
        return "binary"
    if len(content) > _MINIFIED_BYTES and len(content) / max(lines, 1) > _MINIFIED_LINE:
        return "minified"
    return ""


def _faults(tree: Tree, chosen: Grammar) -> list[Fault]:
    if not tree.root_node.has_error:
        return []
    found = QueryCursor(chosen.faults).captures(tree.root_node)
    faults = {Fault(node.start_point[0] + 1, "does not parse") for node in found.get("error", ())}
    faults |= {Fault(node.start_point[0] + 1, f"missing {node.type}") for node in found.get("missing", ())}
    return sorted(faults) or [Fault(1, "does not parse")]


def _read(content: bytes, tried: _Tried, lines: int) -> RawFacts:
    chosen, root = tried.grammar, tried.tree.root_node
    matches = QueryCursor(chosen.structure).matches(root)
    shape = outline(content, chosen.name, matches)
    imports = [captures for _, captures in matches if "import" in captures]
    facts = RawFacts(chosen.name, lines, _package(content, matches), shape.definitions)
    facts.imports = list(
        dict.fromkeys(made for captures in _specific(imports) for made in read_import(content, captures))
    )
    inside = sorted((node.start_byte, node.end_byte) for captures in imports for node in captures["import"])
    facts.uses = names_used(content, QueryCursor(chosen.names).captures(root), shape, inside)
    facts.errors = tried.faults[:_MOST_FAULTS]
    return facts


def _package(content: bytes, matches: list[tuple[int, Captures]]) -> str:
    for _, captures in matches:
        if "package" in captures:
            node = captures["package"][0]
            return content[node.start_byte : node.end_byte].decode("utf-8", "replace")
    return ""


def _specific(imports: list[Captures]) -> list[Captures]:
    """Matches without those that only name the module where another says what is taken from it."""
    telling = {"default", "namespace", "imported"}
    told = {captures["module"][0].start_byte for captures in imports if telling & captures.keys()}
    return [
        captures
        for captures in imports
        if telling & captures.keys() or "module" not in captures or captures["module"][0].start_byte not in told
    ]
