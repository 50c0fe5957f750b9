"""The worked example of docs/policy.md: it can be read, and does what the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from policies import feed

from dovetail.serve.edit.policy.combine import FileChange, Policy
from dovetail.serve.edit.policy.document import Document, parse_policy
from dovetail.serve.types import SourceFile

PAGE = (Path(__file__).parents[4] / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"<!-- example: policy[^>]* -->\n```toml\n(.*?\n)```\n", PAGE, re.DOTALL)[0]
POLICY = Policy([parse_policy(tomllib.loads(EXAMPLE))])


def test_what_the_page_says() -> None:
    assert not POLICY.may_edit("poetry.lock") and not POLICY.may_edit("src/generated/schema.py")
    assert POLICY.may_create("tests/test_new.py") and not POLICY.may_create("src/new.py")
    path = "src/app/api/users.py"
    change = FileChange(path, path, b"def get(user_id): pass\n", b"def get(user_id, other): pass\n")
    assert [each.id for each in POLICY.content(change)] == ["api/freeze"]
    test = FileChange("tests/a.py", "tests/a.py", b"", b"time.sleep(1)\nprint(1)\n")
    assert [(each.id, each.mode) for each in POLICY.content(test)] == [("no-sleep-in-tests", "report")]


def test_the_import_is_refused_at_its_line() -> None:
    order = SourceFile("src/app/domain/order.py", "rows = []\n")
    head = "src/app/domain/order.py\n<<<<<<< SEARCH\nrows = []\n=======\n"
    table = tomllib.loads(EXAMPLE)
    assert feed("blocks", [order], table, head + "import requests\n") == len(head + "import requests")
    fine = head + "from app.infra.types import Row\n>>>>>>> REPLACE\n"
    assert feed("blocks", [order], table, fine) == len(fine)


def test_every_key_is_on_the_page() -> None:
    for name in Document.__struct_fields__:
        assert f"`{name}" in PAGE or f"[{name}]" in PAGE, name
