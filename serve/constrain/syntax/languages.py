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
    "json": ("tree_sitter_json", "language"),
    "bash": ("tree_sitter_bash", "language"),
}

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
    "json": (".json",),
    "bash": (".sh", ".bash"),
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
    module, function = _GRAMMARS[name]
    return Language(getattr(importlib.import_module(module), function)())
