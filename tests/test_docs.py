"""The documentation's claims about the tree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_file_list_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "list_files.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run: python docs/list_files.py"


def test_relative_links_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_tables_of_request_fields_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "list_fields.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run: python docs/list_fields.py"
