"""The demonstration: which example, which instruction, and what is printed about the edit. Starts no server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel

from dovetail.agent.diff import colour_diff, colour_origins, origins_legend
from dovetail.agent.problems import FileProblem


@dataclass(frozen=True)
class Demo:
    """One edit to show: ``path`` is relative to the project's examples/."""

    path: str
    content: str
    instruction: str


def read_demo() -> Demo:
    """What examples/demo.json names."""
    folder = Path(__file__).resolve().parents[1] / "examples"
    try:
        chosen = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
        content = (folder / chosen["file"]).read_bytes().decode("utf-8")
    except OSError as error:
        raise FileProblem(
            f"The demonstration needs the project's examples/ folder, which is not at {folder}: run it from a checkout."
        ) from error
    return Demo(f"examples/{chosen['file']}", content, chosen["instruction"])


def show(console: Console, demo: Demo, answer: Mapping[str, Any]) -> None:
    """Print the diff, the output by origin, and the counts."""
    report = answer["constraint"]
    console.print(f"\n[bold]{demo.path}[/]: “{demo.instruction}”\n")
    if answer["patch"]:
        console.print(colour_diff(answer["patch"]))
    else:
        console.print("[yellow]The model left the file as it is.[/]\n")
    if answer.get("tokens"):
        console.print(Panel(colour_origins(answer["tokens"]), title="what the model wrote", title_align="left"))
    console.print(origins_legend(report["origins"]))
    parsers = {
        "compiler": "the language's own parser",
        "tree-sitter": "tree-sitter",
        "off": "no parser (unknown language)",
    }
    syntax = ", ".join(f"{path} by {parsers.get(name, name)}" for path, name in report["syntax"].items())
    console.print(
        f"  {report['drafted']} tokens were proposed before the model was asked (drafted or forced); it confirmed "
        f"{report['accepted']}. {report['rollbacks']} rollbacks, syntax checked: {syntax}\n  Every edit applies and leaves the file parsing, whatever the model wants. "
        "Nothing was written to the disk.\n"
    )


def show_how_to_try(console: Console, url: str, model: str) -> None:
    """Print commands that talk to the running server."""
    console.print("[bold]Try it[/]")
    body = json.dumps(
        {
            "instruction": "rename add to plus",
            "files": [{"path": "calc.py", "content": "def add(a, b):\n    return a + b\n"}],
        }
    )
    lines = (
        f"  curl {url}/v1/edits -H 'content-type: application/json' -d '{body}'",
        f"  curl {url}/v1/chat/completions -H 'content-type: application/json' "
        f'-d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "hello"}}]}}\'',
        f"  .venv/bin/dovetail edit FILE -m 'what to change' --server {url}",
        f"  python: openai.OpenAI(base_url='{url}/v1', api_key='none').chat.completions.create(",
        f"              model='{model}', messages=[{{'role': 'user', 'content': 'hello'}}])",
        f"  in a browser: {url}/",
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()
