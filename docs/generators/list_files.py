"""Writes the file list at the end of architecture.md from the modules' own first sentences.

python docs/generators/list_files.py            rewrite the section
python docs/generators/list_files.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from generated import DOCS, keep_section

ROOT = DOCS.parent
HEADING = "## Files\n"
FOLDERS = ("serve", "kernels", "models", "agent", "benchmarks", "docs/generators")


def first_sentence(path: Path) -> str:
    """What the module says it is, up to the first full stop, colon-separated detail included."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = " ".join(docstring.split("\n\n")[0].split())
    return line.split(". ")[0].rstrip(".")


def section() -> str:
    """The list: one line per module that says something, by folder."""
    lines = [HEADING]
    for folder in FOLDERS:
        lines.append(f"\n### {folder}/\n\n")
        for path in sorted((ROOT / folder).rglob("*.py")):
            sentence = first_sentence(path)
            if sentence:
                lines.append(f"- `{path.relative_to(ROOT)}`: {sentence}.\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(keep_section("architecture.md", section()))
