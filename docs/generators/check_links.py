"""Follows every relative link and anchor of the documentation; lists links to elsewhere, and fetches none.

python docs/generators/check_links.py    print the links to elsewhere; exit 1 if a relative one leads nowhere
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(?<!\\)\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?)\s*#*$", re.MULTILINE)
_FENCED = re.compile(r"^(```+|~~~+)[^\n]*\n.*?^\1[`~]*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")


def pages() -> list[Path]:
    """Every page that people read."""
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), ROOT / "models/embedded/weights/README.md"]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The names of a page's headings, as git hosts make them: the second of the same words gets a number."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = found.get(name, 0)
        found[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return frozenset(names)


def links(page: Path) -> Iterator[str]:
    """Where a page leads: not what stands in code."""
    text = _SPAN.sub("", _FENCED.sub("", page.read_text(encoding="utf-8")))
    yield from _LINK.findall(text)


def broken() -> list[str]:
    """Relative links that lead nowhere, each with its page."""
    wrong = []
    for page in pages():
        for link in links(page):
            target, _, anchor = link.partition("#")
            if "://" in link:
                continue
            place = (page.parent / target).resolve() if target else page
            if not place.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {link} is not there")
            elif anchor and place.suffix == ".md" and anchor not in anchors(place):
                wrong.append(f"{page.relative_to(ROOT)}: {link}: no such heading")
    return wrong


def external() -> dict[str, list[str]]:
    """Links to elsewhere, with the pages that have them."""
    found: dict[str, list[str]] = {}
    for page in pages():
        for link in links(page):
            if "://" in link:
                found.setdefault(link, []).append(str(page.relative_to(ROOT)))
    return found


if __name__ == "__main__":
    for link, names in sorted(external().items()):
        print(link, *names)
    wrong = broken()
    print(*wrong, sep="\n", file=sys.stderr)
    sys.exit(bool(wrong))
