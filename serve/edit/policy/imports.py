"""Which modules a text imports, as its syntax says it, and whether a rule names them. Runs nothing and looks at no disk.

A module is a path of names: ``a.b`` in Python and Java is ``a/b``; Go's and JavaScript's paths are as they stand. What is
imported under a string that is computed, by a function of another name, or through another module, is not seen.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tree_sitter import Node, Tree

from dovetail.serve.edit.policy.matching import Match, Span
from dovetail.serve.edit.policy.paths import glob
from dovetail.serve.edit.policy.queries import compiled, matches

_SCRIPT = """
(import_statement source: (string) @source)
(export_statement source: (string) @source)
(call_expression function: (import) arguments: (arguments . (string) @source))
((call_expression function: (identifier) @name arguments: (arguments . (string) @source)) (#eq? @name "require"))
"""
_TYPESCRIPT = _SCRIPT + "(import_require_clause source: (string) @source)"
_QUERIES = {
    "python": "[(import_statement) (import_from_statement) (future_import_statement)] @import",
    "javascript": _SCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "go": "(import_spec path: (_) @source)",
    "java": "(import_declaration) @import",
}
_DOTTED = frozenset({"python", "java"})

LANGUAGES = frozenset(_QUERIES)
"""The languages whose imports are read."""


class Module(NamedTuple):
    """An imported module. ``inside``: it was named relative to the importing file, so it lies in the project."""

    name: str
    inside: bool


def imports_of(language: str, path: str, tree: Tree, span: Span) -> Iterator[tuple[Module, Node]]:
    """Every module that is imported in ``span`` of the file at ``path``, and the node that does it."""
    for _, captures in matches(compiled(language, _QUERIES[language]), tree, span):
        node = captures["import" if language in _DOTTED else "source"][0]
        if language == "python":
            yield from ((module, node) for module in _python(node, path))
        elif language == "java":
            yield Module(_java(node), False), node
        else:
            yield _quoted(_text(node)[1:-1], path), node


def forbids(forbid: Sequence[str], unless: Sequence[str], language: str, module: Module) -> str | None:
    """The one of ``forbid`` that names the module or a folder it is in, if none of ``unless`` does."""
    if any(_names(each, language, module) for each in unless):
        return None
    return next((each for each in forbid if _names(each, language, module)), None)


def import_matches(
    forbid: Sequence[str], unless: Sequence[str], language: str, path: str, tree: Tree, span: Span
) -> Iterator[Match]:
    """The forbidden imports in ``span``; the key of each is its module."""
    for module, node in imports_of(language, path, tree, span):
        if forbids(forbid, unless, language, module):
            yield Match((module.name,), node)


def _names(entry: str, language: str, module: Module) -> bool:
    wanted = glob(entry.replace(".", "/") if language in _DOTTED and "/" not in entry else entry)
    parts = module.name.split("/")
    starts = range(len(parts)) if module.inside else (0,)
    return any(
        wanted.matches("/".join(parts[start:stop])) for start in starts for stop in range(start + 1, len(parts) + 1)
    )


def _quoted(source: str, path: str) -> Module:
    if source.startswith("."):
        return Module(posixpath.normpath(posixpath.join(posixpath.dirname(path), source)), True)
    return Module(source, False)


def _java(node: Node) -> str:
    named = next(child for child in node.named_children if child.type in ("scoped_identifier", "identifier"))
    return _text(named).replace(".", "/")


def _python(node: Node, path: str) -> Iterator[Module]:
    names = [_text(each.child_by_field_name("name") or each) for each in node.children_by_field_name("name")]
    if node.type == "import_statement":
        yield from (Module(name.replace(".", "/"), False) for name in names)
        return
    origin = node.child_by_field_name("module_name")
    source = _text(origin) if origin is not None else "__future__"
    level = len(source) - len(source.lstrip("."))
    base = source[level:].replace(".", "/")
    if level:
        folder = path.split("/")[:-level]
        base = "/".join([*folder, base]).strip("/")
    for name in names or [""]:
        full = "/".join(part for part in (base, name.replace(".", "/")) if part)
        if full:
            yield Module(full, level > 0)


def _text(node: Node) -> str:
    """The node's text without blanks, which may stand around dots."""
    return "".join((node.text or b"").decode("utf-8", "replace").split())
