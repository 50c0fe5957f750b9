"""Which files the console is made of, what they are, and under which paths they are served. Knows no request and no data.

The list is exact: what is not in it is not served, and what is in it is served to everybody (docs/decisions/016).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "web"
INDEX = "index.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

FILES: tuple[str, ...] = (
    "api.js",
    "app.js",
    "audit.js",
    "blocks.js",
    "card.js",
    "diff.js",
    "dom.js",
    "edits.css",
    "edits.js",
    "format.js",
    "guarantees.js",
    "icon.svg",
    "index.html",
    "keys.js",
    "live.css",
    "live.js",
    "login.js",
    "models.js",
    "playground.js",
    "plot.js",
    "requests.js",
    "result.js",
    "style.css",
    "tokens.js",
)

PATHS: Mapping[str, str] = {
    "/": INDEX,
    **{f"/console/{name}": name for name in FILES if name != INDEX},
}
"""Every path, and the file that is there."""


@dataclass(frozen=True)
class Asset:
    """One file. ``tag``: changes with its content."""

    content: bytes
    media_type: str
    tag: str


@cache
def asset(name: str) -> Asset:
    """A file of the list."""
    content = (FOLDER / name).read_bytes()
    return Asset(content, _TYPES[Path(name).suffix], f'"{hashlib.sha256(content).hexdigest()[:20]}"')
