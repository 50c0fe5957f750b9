"""How code is written: imports, type hints, docstrings, indentation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from dovetail.agent.repo.facts import FileFacts
from dovetail.agent.repo.patterns.convention import CLEAR, ENOUGH, Convention, prevailing

_SAMPLE = 120
"""Files whose text is read, evenly spread; the rest is told by the facts."""

_SECTIONS = (
    ("Google style (Args:, Returns:)", re.compile(r"^\s*(Args|Returns|Raises|Yields):\s*$", re.MULTILINE)),
    ("NumPy style (underlined sections)", re.compile(r"^\s*(Parameters|Returns|Raises)\s*\n\s*-{3,}", re.MULTILINE)),
    ("Sphinx style (:param x:)", re.compile(r"^\s*:(param|returns?|raises)\b", re.MULTILINE)),
)
_DOCSTRING = re.compile(r'^[ \t]*[rRuU]{0,2}("""|\'\'\')(.*?)\1', re.DOTALL | re.MULTILINE)
_INDENT = re.compile(r"^(\t+| +)\S", re.MULTILINE)


def style(files: Mapping[str, FileFacts], read: Callable[[str], str | None]) -> Iterator[Convention]:
    """Habits of imports from the facts; of text from a sample of files."""
    yield from _python_imports(files)
    yield from _javascript_imports(files)
    yield from _annotations(files)
    by_language: dict[str, list[str]] = {}
    for path, facts in sorted(files.items()):
        by_language.setdefault(facts.language, []).append(path)
    for language, paths in sorted(by_language.items()):
        sample = paths[:: max(1, len(paths) // _SAMPLE)]
        texts = [text for path in sample if (text := read(path)) is not None]
        yield from prevailing("style", f"{language} is indented by {{}}", Counter(filter(None, map(_indent, texts))))
        if language == "python":
            yield from _docstrings(files, sample, texts)


def _python_imports(files: Mapping[str, FileFacts]) -> Iterator[Convention]:
    relative: Counter[str] = Counter()
    future = total = 0
    for facts in files.values():
        if facts.language != "python" or not facts.definitions:
            continue
        total += 1
        future += any(made.module == "__future__" and made.name == "annotations" for made in facts.imports)
        inside = facts.path.split("/")
        for made in facts.imports:
            if made.module.startswith("."):
                relative["relative"] += 1
            elif made.module.split(".")[0] in inside[:-1]:
                relative["absolute"] += 1
    yield from prevailing("imports", "python imports of the project's own modules are {}", relative)
    if total >= ENOUGH and future >= CLEAR * total:
        yield Convention("imports", "python files start with from __future__ import annotations", future, total)


def _javascript_imports(files: Mapping[str, FileFacts]) -> Iterator[Convention]:
    kinds: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    for facts in files.values():
        if facts.language in {"javascript", "typescript", "tsx"}:
            for made in facts.imports:
                kinds["default" if made.name == "default" else "whole modules" if not made.name else "named"] += 1
                if made.module.startswith("."):
                    paths["relative paths"] += 1
                elif made.module.startswith(("@/", "~/", "#")):
                    paths[f"the alias {made.module.split('/')[0]}"] += 1
    yield from prevailing("imports", "javascript/typescript imports are {}", kinds)
    yield from prevailing("imports", "javascript/typescript imports of own files use {}", paths)


def _annotations(files: Mapping[str, FileFacts]) -> Iterator[Convention]:
    signatures = [
        symbol.signature
        for facts in files.values()
        if facts.language == "python"
        for symbol in facts.definitions
        if symbol.kind in {"function", "method"}
    ]
    annotated = Counter("annotated" if "->" in signature else "without annotations" for signature in signatures)
    yield from prevailing("style", "python functions are {}", annotated)


def _docstrings(files: Mapping[str, FileFacts], sample: list[str], texts: list[str]) -> Iterator[Convention]:
    styles: Counter[str] = Counter()
    lengths: Counter[str] = Counter()
    documented = of = 0
    for path, text in zip(sample, texts, strict=False):
        lines = text.splitlines()
        for found in _DOCSTRING.finditer(text):
            label = next((label for label, shape in _SECTIONS if shape.search(found[2])), "")
            styles[label or "plain prose, no sections"] += 1
            lengths["one line" if "\n" not in found[2].strip() else "several lines"] += 1
        for symbol in files[path].definitions:
            if (
                symbol.exported
                and symbol.kind in {"function", "method", "class"}
                and not symbol.name.startswith("test")
            ):
                of += 1
                head = "\n".join(lines[symbol.line - 1 : min(symbol.last_line, symbol.line + 20)])
                documented += re.search(r":\s*(#[^\n]*)?\n\s*[rRuU]{0,2}(\"\"\"|''')", head) is not None
    if of >= ENOUGH:
        share = "have" if documented >= CLEAR * of else "often have no" if documented <= (1 - CLEAR) * of else ""
        if share:
            count = documented if share == "have" else of - documented
            yield Convention("docstrings", f"public python functions and classes {share} docstrings", count, of)
    yield from prevailing("docstrings", "docstrings are {}", styles)
    yield from prevailing("docstrings", "docstrings are {}", lengths)


def _indent(text: str) -> str:
    widths: Counter[str] = Counter()
    for found in _INDENT.finditer(text):
        widths["tabs" if found[1][0] == "\t" else f"{len(found[1])} spaces"] += 1
    if not widths:
        return ""
    if widths["tabs"] > sum(widths.values()) / 2:
        return "tabs"
    two = sum(count for width, count in widths.items() if width != "tabs" and int(width.split()[0]) % 4 == 2)
    return "2 spaces" if two > 0.2 * sum(widths.values()) else "4 spaces"
