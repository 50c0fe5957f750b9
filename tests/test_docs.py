"""The documentation's claims about the tree: what is written from the code is up to date, and every link leads somewhere."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dovetail.agent.demo import read_demo

ROOT = Path(__file__).parent.parent
GENERATORS = sorted(path.name for path in (ROOT / "docs" / "generators").glob("list_*.py"))


@pytest.mark.parametrize("script", GENERATORS)
def test_what_is_written_from_the_code_is_up_to_date(script: str) -> None:
    command = [sys.executable, str(ROOT / "docs" / "generators" / script), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run: make references"


def test_the_picture_is_of_the_demonstration() -> None:
    drawn = (ROOT / "docs" / "images" / "edit.svg").read_text(encoding="utf-8")
    assert f"<title>{read_demo().instruction}:" in drawn, "run: python docs/generators/draw_edit.py"


@pytest.fixture(scope="module")
def check_links() -> ModuleType:
    found = importlib.util.spec_from_file_location("check_links", ROOT / "docs" / "generators" / "check_links.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_relative_links_and_anchors_lead_somewhere(check_links: ModuleType) -> None:
    assert check_links.broken() == []


def test_a_link_that_leads_nowhere_is_found(check_links: ModuleType, tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A head\n\n[one](#a-head) [two](#b-head) [three](gone.md) `[four](gone.md)` <https://x>\n")
    monkeypatch.setattr(check_links, "ROOT", tmp_path)
    monkeypatch.setattr(check_links, "pages", lambda: [page])
    assert check_links.broken() == ["page.md: #b-head: no such heading", "page.md: gone.md is not there"]


def test_links_to_elsewhere_are_encrypted(check_links: ModuleType) -> None:
    assert [link for link in check_links.external() if not link.startswith("https://")] == []
