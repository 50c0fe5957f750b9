"""Which grammar reads a file, judged by its path, and the queries that find definitions, imports and names in it.

Queries are data: queries/structure/ and queries/names/, one file per language. Knows no repository.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from tree_sitter import Language, Query

_GRAMMARS: dict[str, tuple[str, str]] = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "c-sharp": ("tree_sitter_c_sharp", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
}

LANGUAGES = tuple(_GRAMMARS)
"""The languages whose definitions, references and imports are known."""

PACKAGES = tuple(sorted({module.replace("_", "-") for module, _ in _GRAMMARS.values()}))
"""The distributions that hold the grammars."""

_SUFFIXES: dict[str, tuple[str, ...]] = {
    "python": (".py", ".pyi", ".pyw"),
    "javascript": (".js", ".mjs", ".cjs", ".jsx"),
    "typescript": (".ts", ".mts", ".cts"),
    "tsx": (".tsx",),
    "go": (".go",),
    "rust": (".rs",),
    "java": (".java",),
    "c": (".c", ".h"),
    "cpp": (".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".h"),
    "c-sharp": (".cs",),
    "ruby": (".rb", ".rake", ".gemspec"),
    "php": (".php",),
}

_BY_SUFFIX: dict[str, tuple[str, ...]] = {
    suffix: tuple(name for name, theirs in _SUFFIXES.items() if suffix in theirs)
    for suffix in sorted({suffix for theirs in _SUFFIXES.values() for suffix in theirs})
}

_PARTS = {"tsx": ("typescript", "tsx"), "cpp": ("c", "cpp")}
"""Languages whose queries are another's and their own."""

QUERIES = Path(__file__).parent / "queries"


@dataclass(frozen=True)
class Grammar:
    """One language: its parser's tables, and the compiled queries over its trees."""

    name: str
    language: Language
    structure: Query
    names: Query
    faults: Query


def languages_of(path: str) -> tuple[str, ...]:
    """The languages that ``path`` may be written in, likeliest first; empty where none is known.

    Only ``.h`` has two: C, and C++ for headers that C cannot read.
    """
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), ())


@cache
def grammar(name: str) -> Grammar:
    """The grammar and queries of a language that ``languages_of`` gave."""
    module, function = _GRAMMARS[name]
    language = Language(getattr(importlib.import_module(module), function)())
    return Grammar(
        name,
        language,
        Query(language, query_text(name, "structure")),
        Query(language, query_text(name, "names")),
        Query(language, "(ERROR) @error (MISSING) @missing"),
    )


def query_text(name: str, part: str) -> str:
    """The queries of a language, as they lie in queries/``part``/."""
    files = (QUERIES / part / f"{piece}.scm" for piece in _PARTS.get(name, (name,)))
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())
