"""SECURITY.md names only tests and pages that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = sorted(set(re.findall(r"`(tests/[^` ]+)`|\]\(([^)]+)\)", (ROOT / "SECURITY.md").read_text())))


@pytest.mark.parametrize("path", [tests or page for tests, page in NAMED])
def test_what_is_named_is_there(path: str) -> None:
    found = ROOT / path
    assert found.is_file() or any(found.rglob("test_*.py"))
