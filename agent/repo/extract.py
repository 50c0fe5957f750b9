"""From the bytes of one source file to its facts, by tree-sitter. Knows no repository and no disk."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tree_sitter import Parser, QueryCursor, Tree

from dovetail.agent.repo.facts import Fault, RawFacts
from dovetail.agent.repo.imports import Captures, read_import
from dovetail.agent.repo.languages import Grammar, grammar
from dovetail.agent.repo.naming import names_used
from dovetail.agent.repo.outline import outline

PARSE_SECONDS = 10.0
"""A file that takes longer to parse is left out: no source that people write does."""

_CHUNK = 1 << 16
_MINIFIED_BYTES = 20_000
_MINIFIED_LINE = 400
_MOST_FAULTS = 20


def extract(content: bytes, languages: Sequence[str]) -> RawFacts:
    """The facts of a file that may be in one of ``languages``: the one whose grammar finds fewest errors."""
    lines = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    refusal = _unreadable(content, lines)
    if refusal:
        return RawFacts(languages[0], lines, skipped=refusal)
    best: tuple[int, Grammar, Tree] | None = None
    for name in languages:
        candidate = grammar(name)
        tree = _parse(content, candidate)
        if tree is None:
            continue
        faults = len(_faults(tree, candidate))
        if best is None or faults < best[0]:
            best = (faults, candidate, tree)
        if not faults:
            break
    if best is None:
        return RawFacts(languages[0], lines, skipped=f"not parsed within {PARSE_SECONDS:g} s")
    _, chosen, tree = best
    return _read(content, chosen, tree, lines)


def _unreadable(content: bytes, lines: int) -> str:
    if b"\0" in content:
        return "binary"
    if len(content) > _MINIFIED_BYTES and len(content) / max(lines, 1) > _MINIFIED_LINE:
        return "minified"
    return ""


def _parse(content: bytes, chosen: Grammar) -> Tree | None:
    end = time.monotonic() + PARSE_SECONDS
    try:
        return Parser(chosen.language).parse(
            lambda offset, _point: content[offset : offset + _CHUNK],
            progress_callback=lambda _offset, _faulty: time.monotonic() > end,
        )
    except ValueError:
        return None


def _faults(tree: Tree, chosen: Grammar) -> list[Fault]:
    if not tree.root_node.has_error:
        return []
    found = QueryCursor(chosen.faults).captures(tree.root_node)
    faults = {Fault(node.start_point[0] + 1, "does not parse") for node in found.get("error", ())}
    faults |= {Fault(node.start_point[0] + 1, f"missing {node.type}") for node in found.get("missing", ())}
    return sorted(faults) or [Fault(1, "does not parse")]


def _read(content: bytes, chosen: Grammar, tree: Tree, lines: int) -> RawFacts:
    matches = QueryCursor(chosen.structure).matches(tree.root_node)
    shape = outline(content, chosen.name, matches)
    imports = [captures for _, captures in matches if "import" in captures]
    facts = RawFacts(chosen.name, lines, _package(content, matches), shape.definitions)
    facts.imports = list(
        dict.fromkeys(made for captures in _specific(imports) for made in read_import(content, captures))
    )
    inside = sorted((node.start_byte, node.end_byte) for captures in imports for node in captures["import"])
    facts.uses = names_used(content, QueryCursor(chosen.names).captures(tree.root_node), shape, inside)
    facts.errors = _faults(tree, chosen)[:_MOST_FAULTS]
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
