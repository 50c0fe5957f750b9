"""Writes a generated page or section, or says whether it is up to date: what all generators beside this file share."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_PAGE = re.compile(r"\bdocs/([\w-]+\.md)")

DOCS = Path(__file__).resolve().parents[1]
NOTE = "<!-- Written by docs/generators/{script}: change the code, then run it (make references). -->\n"


def keep(page: str, text: str) -> int:
    """Write ``text`` as docs/``page``; with --check, write nothing, and 1 says that the page differs."""
    path = DOCS / page
    if "--check" in sys.argv:
        return int(not path.exists() or path.read_text(encoding="utf-8") != text)
    path.write_text(text, encoding="utf-8")
    return 0


def keep_section(page: str, section: str, before: str = "") -> int:
    """The same for a part of a page below docs/: from the section's heading to the heading ``before``, or to the end."""
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    head, heading, rest = text.partition(section[: section.index("\n") + 1])
    if not heading:
        raise ValueError(f"{page} has no section to write")
    return keep(page, head + section + (rest[rest.index(before) :] if before else ""))


def cell(text: object) -> str:
    """Text for a cell of a table; pages that it names become links."""
    return _PAGE.sub(_linked, " ".join(str(text).split()).replace("|", "\\|"))


def _linked(found: re.Match[str]) -> str:
    return f"[{found[1]}]({found[1]})" if (DOCS / found[1]).is_file() else found[0]


def code(text: object) -> str:
    """A word of code in a cell, or nothing."""
    return f"`{cell(text)}`" if str(text) else ""
