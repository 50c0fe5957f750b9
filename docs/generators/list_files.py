"""Writes the file list at the end of architecture.md from the modules' own first sentences.

python docs/generators/list_files.py            rewrite the section
python docs/generators/list_files.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
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


def main() -> int:
    """Rewrite or check the page."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = page[: page.index(HEADING)] + section()
    if "--check" in sys.argv:
        return int(page != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
