"""Harsh policies for edit_fuzz.py, and what is wrong with an answer under one: a checker that shares no code with the server."""

from __future__ import annotations

import ast
import importlib
import random
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import tree_sitter
from edit_checker import SUFFIXES

_CALLS = {
    "call",
    "call_expression",
    "new_expression",
    "method_invocation",
    "object_creation_expression",
    "macro_invocation",
}
_READ_FOR_CALLS = {"python", "javascript", "typescript", "tsx", "go", "rust", "java", "c", "cpp"}
_QUOTED_IMPORT = re.compile(r"""^\s*import\b[^\n'"`]*['"]([^'"\n]+)['"]""", re.MULTILINE)


def harsh_policy(rng: random.Random, paths: list[str]) -> dict[str, Any]:
    """A policy that forbids much of what a babbling model would write."""
    parts: list[dict[str, Any]] = [
        {"paths": {"protect": [rng.choice(paths).replace("[", "?").replace("]", "?")]}},
        {"paths": {"allow": ["**/*.py", "**/*.go", "**/*.txt"]}},
        {"paths": {"allow": []}},
        {"limits": {"changed_lines": rng.randrange(8)}},
        {"limits": {"files": rng.randrange(3), "changed_lines_per_file": rng.randrange(1, 9)}},
        {"calls": [{"id": "no-calls", "forbid": ["*"]}]},
        {"imports": [{"id": "no-imports", "paths": ["**"], "forbid": ["**"]}]},
        {"api": {"freeze": ["**"]}},
        {"findings": {"rules": ["default"], "mode": "refuse"}},
        {"protected": [{"path": "**", "first_line": rng.randrange(1, 5), "last_line": rng.randrange(5, 9)}]},
    ]
    policy: dict[str, Any] = {}
    for part in rng.sample(parts, rng.randrange(1, 5)):
        policy |= part
    return policy


def policy_faults(policy: dict[str, Any], files: dict[str, str], answer: dict[str, Any]) -> Iterator[str]:
    """Everything in an answer that ``policy`` forbids."""
    limits = policy.get("limits", {})
    changes = list(_changes(files, answer))
    for old, new, before, after in changes:
        yield from _closed(policy.get("paths", {}), old, new)
        for held in policy.get("protected", []):
            lines = before.split("\n")[held["first_line"] - 1 : held["last_line"]]
            if old is not None and "\n".join(lines) not in after:
                yield "policy: protected lines were edited"
        if "api" in policy and old is not None and new != old:
            yield "policy: a frozen file went or moved"
    counts = [_changed(before, after) for _, _, before, after in changes]
    if len(counts) > limits.get("files", 99):
        yield "policy: too many files"
    if sum(counts) > limits.get("changed_lines", 10**6):
        yield "policy: too many lines"
    if max(counts, default=0) > limits.get("changed_lines_per_file", 10**6):
        yield "policy: too many lines in a file"
    for _, new, before, after in changes:
        language = SUFFIXES.get("." + (new or "").rpartition(".")[2], "")
        if "calls" in policy and language in _READ_FOR_CALLS and _new_calls(language, before, after):
            yield f"policy: a new call in {language}"
        if "imports" in policy and new is not None and _imports(language, after) - _imports(language, before):
            yield f"policy: a new import in {language}"
        if "api" in policy and language == "python" and _public(before) - _public(after):
            yield "policy: a frozen name is gone"
    if any(finding["mode"] != "report" for finding in answer["policy"]["findings"]):
        yield "policy: the answer holds what it says is refused"


def _changes(files: dict[str, str], answer: dict[str, Any]) -> Iterator[tuple[str | None, str | None, str, str]]:
    """Path and content before and after of every changed file, with line feeds and without a byte order mark."""
    moved = {each["to"]: each["path"] for each in answer["operations"] if each["kind"] == "rename"}
    for file in answer["files"]:
        old = moved.get(file["path"], file["path"] if file["path"] in files else None)
        yield old, file["path"], _plain(files.get(old or "", "")), _plain(file["content"])
    for operation in answer["operations"]:
        if operation["kind"] == "delete":
            yield operation["path"], None, _plain(files[operation["path"]]), ""


def _plain(text: str) -> str:
    return re.sub("\r+\n", "\n", text.lstrip("\ufeff"))


def _closed(paths: dict[str, Any], old: str | None, new: str | None) -> Iterator[str]:
    for path in {old, new} - {None}:
        assert path is not None
        allowed = "allow" not in paths or any(_named(glob, path) for glob in paths["allow"])
        if not allowed or any(_named(glob, path) for glob in paths.get("protect", [])):
            yield "policy: a closed file was edited"


def _named(glob: str, path: str) -> bool:
    pattern = (
        re.escape(glob).replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", ".")
    )
    return re.fullmatch(pattern, path) is not None


def _changed(before: str, after: str) -> int:
    old, new = (
        text.split("\n") if text.endswith("\n") or not text else [*text.split("\n"), ""] for text in (before, after)
    )
    old, new = [*old[:-1]], [*new[:-1]]
    if before and not before.endswith("\n"):
        old[-1] += "\0"
    if after and not after.endswith("\n"):
        new[-1] += "\0"
    row = [0] * (len(new) + 1)
    for line in old:
        previous = 0
        for index, other in enumerate(new):
            kept = row[index + 1]
            row[index + 1] = previous + 1 if line == other else max(row[index + 1], row[index])
            previous = kept
    return len(old) + len(new) - 2 * row[-1]


def _new_calls(language: str, before: str, after: str) -> list[str]:
    """Calls that were not there, unless their text was: what is kept may parse otherwise beside new text."""
    kept = " ".join(before.split())
    return [call for call in _calls(language, after) - _calls(language, before) if call not in kept]


def _calls(language: str, content: str) -> Counter[str]:
    module = importlib.import_module(f"tree_sitter_{'typescript' if language == 'tsx' else language}")
    capsule = getattr(module, f"language_{language}" if language in ("typescript", "tsx") else "language")()
    pending = [tree_sitter.Parser(tree_sitter.Language(capsule)).parse(content.encode()).root_node]
    found: Counter[str] = Counter()
    while pending:
        node = pending.pop()
        pending += node.children
        if node.type in _CALLS:
            found[" ".join((node.text or b"").decode().split())] += 1
    return found


def _imports(language: str, content: str) -> Counter[str]:
    if language == "python":
        names: Counter[str] = Counter()
        for node in ast.walk(_parsed(content)):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.update(f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)
        return names
    return (
        Counter(_QUOTED_IMPORT.findall(content)) if language in ("go", "javascript", "typescript", "tsx") else Counter()
    )


def _public(content: str) -> set[str]:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    body = _parsed(content).body
    if any(isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__" for node in body):
        return set()
    return {node.name for node in body if isinstance(node, defined) and not node.name.startswith("_")}


def _parsed(content: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])
