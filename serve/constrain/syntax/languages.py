"""Which grammar reads a file, judged by its path. Grammars are loaded when first needed; content is never looked at."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import PurePosixPath

from tree_sitter import Language

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
    "bash": ("tree_sitter_bash", "language"),
    "json": ("tree_sitter_json", "language"),
    "yaml": ("tree_sitter_yaml", "language"),
    "toml": ("tree_sitter_toml", "language"),
    "html": ("tree_sitter_html", "language"),
    "css": ("tree_sitter_css", "language"),
}

LANGUAGES = tuple(_GRAMMARS)
"""The names of all grammars."""

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
    "bash": (".sh", ".bash"),
    "json": (".json",),
    "yaml": (".yaml", ".yml"),
    "toml": (".toml",),
    "html": (".html", ".htm"),
    "css": (".css",),
}


def languages_of(path: str) -> tuple[str, ...]:
    """The names of the grammars that may read ``path``, likeliest first; empty if none is known.

    Only ``.h`` has two: C, and C++ for headers that C cannot read.
    """
    suffix = PurePosixPath(path).suffix.lower()
    return tuple(name for name, suffixes in _SUFFIXES.items() if suffix in suffixes)


@cache
def grammar(name: str) -> Language:
    """The tree-sitter grammar of a name that ``languages_of`` gave."""
    return Language(capsule(name))


def capsule(name: str) -> object:
    """The grammar as its module hands it out: a capsule that holds the address of its tables, which live for ever."""
    module, function = _GRAMMARS[name]
    made: object = getattr(importlib.import_module(module), function)()
    return made
