"""What mkdocs does beside rendering docs/: pages from the repository's root become pages, links out of docs/ stay true, and
pages of the navigation that are not there are left out. Called by mkdocs alone.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
FROM_ROOT = {
    "README.md": "index.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "models/embedded/weights/README.md": "embedded-model.md",
}
"""Pages outside of docs/, and what they are called in the site."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^(```+|~~~+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Decisions by their numbers; nothing in the navigation that is not there."""
    config["nav"] = [each for each in (_kept(entry) for entry in config["nav"]) if each is not None]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages from the root."""
    for source, name in FROM_ROOT.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has them: to pages by their names there; to what is no page, as a name without a link."""
    by_site = {site: source for source, site in FROM_ROOT.items()}
    source = by_site.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    lines, fence = [], ""
    for line in markdown.split("\n"):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.startswith(fence) and not line.strip("`~ "):
            fence = ""
        lines.append(line if fence or mark else _LINK.sub(lambda found: _link(found, source, page.file.src_uri), line))
    return "\n".join(lines)


def _link(found: re.Match[str], source: str, site: str) -> str:
    image, text, target, anchor = found[1], found[2], found[3], found[4] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return found[0]
    text = _LINK.sub(lambda inner: _link(inner, source, site), text)
    place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    named = FROM_ROOT.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else None)
    if named is None or (ROOT / place).is_dir():
        return text
    if text in (target, f"`{target}`") and (ROOT / place).suffix == ".md":
        text = (ROOT / place).read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
    return f"{image}[{text}]({os.path.relpath(named, posixpath.dirname(site) or '.')}{anchor})"


def _kept(entry: Any) -> Any:
    if isinstance(entry, str):
        there = entry in FROM_ROOT.values() or (ROOT / "docs" / entry).is_file()
        return entry if there else None
    ((title, below),) = entry.items()
    if below == "decisions":
        pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
        return {title: [f"decisions/{each.name}" for each in pages]}
    if isinstance(below, str):
        return entry if _kept(below) else None
    kept = [each for each in (_kept(one) for one in below) if each is not None]
    return {title: kept} if kept else None
