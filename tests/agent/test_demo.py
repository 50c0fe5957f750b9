"""The demonstration's parts that need no server."""

from __future__ import annotations

import ast
import io

from rich.console import Console

from dovetail.agent.demo import read_demo, show, show_how_to_try
from dovetail.agent.terminal import LoadingBars


def test_the_example_is_real_and_parses() -> None:
    demo = read_demo()
    assert demo.path.startswith("examples/")
    assert demo.instruction
    ast.parse(demo.content)


def test_what_is_shown() -> None:
    console = Console(file=io.StringIO(), width=200)
    report = {"origins": {"forced": 3}, "drafted": 2, "accepted": 1, "rollbacks": 0, "syntax": {"a": "compiler"}}
    answer = {
        "constraint": report,
        "patch": "@@ -1 +1 @@\n-a\n+b\n",
        "tokens": [{"text": "[red]b", "origin": "forced"}],
    }
    show(console, read_demo(), answer)
    show_how_to_try(console, "http://x", "tiny[m]")
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for text in ("-a\n+b", "[red]b", "forced         3", "2 tokens were proposed", "http://x/v1/edits", "tiny[m]"):
        assert text in shown


def test_loading_bars_end() -> None:
    bars = LoadingBars(Console(file=io.StringIO(), force_terminal=True))
    for share, stage in ((0.0, "reading"), (1.0, "reading"), (0.5, "warming up"), (1.0, "warming up")):
        bars(share, stage)
    bars.close()
