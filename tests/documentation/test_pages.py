"""A reader follows the documentation's pages from top to bottom, and everything happens as they say.

What is quick stands in FAST, and there `dovetail serve` is only read; the rest, and the servers, are for `make test-docs`.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from documentation.blocks import ROOT, SHELLS, Block, pages, read_blocks
from documentation.reader import EMBEDDED, Reader

from dovetail.serve.config.sources import load_config
from dovetail.serve.server_process import start_server_process

pytestmark = pytest.mark.timeout(900)  # the machine may be busy, and the first test waits for the server

FAST = frozenset({"README.md", "docs/quickstart.md", "docs/structured.md", "docs/capacity.md"})
PAGES = [page.relative_to(ROOT).as_posix() for page in pages()]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server with the embedded model, under the name that docs/clients.md gives its model."""
    settings = load_config(
        {"model": EMBEDDED, "model_name": "coder", "port": 0, "threads": 1, "log_level": "warning"}, {}
    )
    handle = start_server_process(settings, lambda share, stage: None)
    try:
        yield int(handle.url.rsplit(":", 1)[1])
    finally:
        handle.stop()


@pytest.mark.parametrize("page", sorted(FAST))
def test_a_page_is_right(page: str, port: int, tmp_path: Path) -> None:
    follow(page, Reader(tmp_path, port, starts=False))


@pytest.mark.docs
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_right_with_its_servers(page: str, port: int, tmp_path: Path) -> None:
    follow(page, Reader(tmp_path, port, starts=True))


def test_metrics_that_pages_name_are_there(port: int) -> None:
    """Those of the audit log are there with one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        shown = answer.read().decode()
    for page in ("monitoring", "incidents", "sizing"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for name in set(re.findall(r"\bdovetail_[a-z]\w+", text)):
            assert name.startswith("dovetail_audit_") or name.removesuffix("_bucket") in shown, f"{page}: {name}"


def follow(page: str, reader: Reader) -> None:
    """Write what the page has its reader write, and run what it has them run."""
    before: dict[str, str] = {}
    try:
        for block in read_blocks(ROOT / page):
            if "writes" in block.marks:
                reader.write(block)
            elif runs(block):
                reader.run(block, before.get(block.marks.get("part of", ""), ""))
                if "part of" in block.marks:
                    name = block.marks["part of"]
                    before[name] = before.get(name, "") + block.text
    finally:
        reader.close()


def runs(block: Block) -> bool:
    return (
        (block.language in SHELLS or block.language == "python")
        and block.needs is None
        and "example" not in block.marks
    )
