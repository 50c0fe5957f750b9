"""Judges an answer of /v1/edits by plain string search, whole-file parsing and ``git apply``. Shares no code with the server."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import re
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import tree_sitter

MARK = "\ufeff"
GRAMMARS = {
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
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "yaml": ("tree_sitter_yaml", "language"),
    "toml": ("tree_sitter_toml", "language"),
    "css": ("tree_sitter_css", "language"),
    "html": ("tree_sitter_html", "language"),
}
SUFFIXES = {
    ".py": "python", ".js": "javascript", ".ts": "typescript", ".tsx": "tsx", ".go": "go", ".rs": "rust", ".java": "java",
    ".c": "c", ".cpp": "cpp", ".json": "json", ".sh": "bash", ".rb": "ruby", ".php": "php", ".cs": "csharp",
    ".yaml": "yaml", ".toml": "toml", ".css": "css", ".html": "html",
}  # fmt: skip


class Rules(NamedTuple):
    """What was asked for. ``protected``: path, first and last line, from 1."""

    format: str = "blocks"
    syntax: str = "each"
    operations: tuple[str, ...] = ()
    protected: tuple[tuple[str, int, int], ...] = ()


@functools.cache
def _grammar(language: str) -> tree_sitter.Language:
    module, function = GRAMMARS[language]
    return tree_sitter.Language(getattr(importlib.import_module(module), function)())


@functools.lru_cache(maxsize=4096)
def parses(language: str, content: str) -> bool:
    """Whether the whole file parses, by the language's own parser for Python and by tree-sitter for all."""
    if language not in GRAMMARS:
        return True
    if language == "bash":  # its scanner may crash on characters beyond Latin-1
        content = "".join(character if ord(character) < 256 else "\u00ff" for character in content)
    if tree_sitter.Parser(_grammar(language)).parse(content.encode()).root_node.has_error:
        return False
    if language == "python":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def faults(files: dict[str, str], rules: Rules, answer: dict[str, Any]) -> list[str]:
    """Everything wrong with an answer. ``files``: path -> content."""
    found: list[str] = []
    taken: dict[str, list[tuple[int, int, str]]] = {}
    for edit in answer["edits"]:
        if edit["path"] not in files:
            found.append("foreign path")
            continue
        place = _place(files[edit["path"]], edit, rules, found)
        if place is not None:
            taken.setdefault(edit["path"], []).append((*place, edit["replace"]))
    expected = dict(files)
    for path, places in taken.items():
        places.sort()
        if any(before[1] > after[0] or before[:2] == after[:2] for before, after in itertools.pairwise(places)):
            found.append("overlapping")
            continue
        data = files[path].encode()
        for start, end, replace in reversed(places):
            data = data[:start] + replace.encode() + data[end:]
        expected[path] = data.decode()
        found += _wrong_result(path, files[path], expected[path], rules)
    found += _operated(files, expected, rules, answer)
    results = {file["path"]: file["content"] for file in answer["files"]}
    changed = {path: content for path, content in expected.items() if files.get(path) != content}
    if not found and results != changed:
        found.append("files differ from the edits")
    if not found and bool(answer["patch"]) != (files != expected):
        found.append("patch and edits differ")
    if not found and answer["patch"] and not applies(files, expected, answer["patch"]):
        found.append("git apply refuses the patch")
    return found


def _place(text: str, edit: dict[str, Any], rules: Rules, found: list[str]) -> tuple[int, int] | None:
    """Where an edit's bytes stand."""
    content, search = text.encode(), edit["search"].encode()
    begin = len(content) - len(text.lstrip(MARK).encode())
    first, last = edit["start_line"], edit["end_line"]
    if not search and len(content) > begin:
        if last != first - 1 or rules.format not in ("str_replace", "apply_patch"):
            found.append("empty search in a file that is not empty")
            return None
        starts = [begin, *(match.end() for match in re.finditer(b"\n", content) if match.end() < len(content))]
        start = starts[first - 1] if first <= len(starts) else len(content)
        return start, start
    start = content.find(search) if search else begin
    if start < 0:
        found.append("not found")
        return None
    if search and content.find(search, start + 1) >= 0:
        found.append("ambiguous")
    end = start + len(search)
    if (start > begin and content[start - 1 : start] != b"\n") or (end < len(content) and not search.endswith(b"\n")):
        found.append("not whole lines")
    lines = content[:start].count(b"\n") + 1, content[: max(start, end - 1)].count(b"\n") + 1
    if search and (first, last) != lines:
        found.append(f"wrong lines {first}-{last}, not {lines[0]}-{lines[1]}")
    return start, end


def _wrong_result(path: str, before: str, after: str, rules: Rules) -> list[str]:
    found = []
    language = SUFFIXES.get(Path(path).suffix, "off")
    if rules.syntax != "off" and parses(language, before) and not parses(language, after):
        found.append("unparsable")
    if not before.endswith("\r") and not _ends(after) <= (_ends(before) or {"\n"}):
        found.append("foreign line ends")
    if before.startswith(MARK) and not after.startswith(MARK):
        found.append("byte order mark lost")
    position, lines = 0, before.lstrip(MARK).split("\n")
    for guarded, first, last in sorted(rules.protected):
        if guarded == path:
            text = "\n".join(lines[first - 1 : last])
            end = r"\r?\n" if last == len(lines) else r"\n"  # a patch gives a last line the line end it lacks
            match = re.compile("\n" + re.escape(text) + end).search("\n" + after.lstrip(MARK) + "\n", position)
            if match is None:
                return [*found, "protected lines changed"]
            position = match.start() + len(text)
    return found


def _ends(content: str) -> set[str]:
    return set(re.findall(r"\r*\n", content))


def _operated(files: dict[str, str], expected: dict[str, str], rules: Rules, answer: dict[str, Any]) -> list[str]:
    """Carry the operations out on ``expected``; everything wrong with them."""
    found = []
    for operation in answer["operations"]:
        kind, path = operation["kind"], operation["path"]
        if kind not in rules.operations:
            found.append(f"{kind} was not allowed")
        if (kind == "create") == (path in files):
            found.append(f"{kind} of the wrong file")
            continue
        if kind != "create":
            content = expected.pop(path)
            if kind == "delete":
                if any(guarded == path for guarded, _, _ in rules.protected):
                    found.append("protected file deleted")
                continue
        else:
            content = operation["content"]
            if rules.syntax != "off" and not parses(SUFFIXES.get(Path(path).suffix, "off"), content):
                found.append("new file does not parse")
        to = operation["to"] if kind == "rename" else path
        if not re.fullmatch(r"[\w.@+-][\w.@+ -]*(/[\w.@+-][\w.@+ -]*)*", to) or {"..", ".", ".git"} & set(
            to.split("/")
        ):
            found.append(f"path {to!r}")
        if to.casefold() in {other.casefold() for other in [*files, *expected]}:
            found.append("path taken")
        expected[to] = content
    return found


def applies(files: dict[str, str], expected: dict[str, str], patch: str) -> bool:
    """Whether ``git apply`` turns the files into what is expected, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode())
        command = ["git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-"]
        if subprocess.run(command, input=patch.encode(), cwd=folder, capture_output=True, check=False).returncode:
            return False
        there = {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
        return there == {path: content.encode() for path, content in expected.items()}
