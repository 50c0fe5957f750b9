"""Draws images/edit.svg: one edit landing, from a real run of the embedded model, each token by how it came.

python docs/generators/draw_edit.py                 start a server, ask it for the demonstration's edit, draw
python docs/generators/draw_edit.py --server URL    ask that server instead
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from dovetail.agent.client import DovetailClient
from dovetail.agent.demo import Demo, read_demo
from dovetail.serve.config.sources import load_config
from dovetail.serve.server_process import start_server_process

IMAGE = Path(__file__).resolve().parents[1] / "images" / "edit.svg"
WIDTH, PANEL, GAP, LEFT = 860, 410, 20, 10
CHARACTER, LINE = 8.0, 24
MEANINGS = {
    "sampled": "chosen by the model",
    "drafted": "from the file, confirmed by the model",
    "forced": "the only text that fits",
    "resampled": "drawn again: the first would not have fitted",
}
STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de }
  .panel { fill: #f6f8fa; stroke: #d0d7de }
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; white-space: pre }
  .head { font: 600 14px system-ui, sans-serif } .note { font: 13px system-ui, sans-serif; fill: #59636e }
  .sampled { fill: #ffd8a8 } .drafted { fill: #b2e8d9 } .forced { fill: #cfe2ff } .resampled { fill: #f3c6d3 }
  .removed { fill: #ffd7d5 } .added { fill: #c9f2d0 } .tick { fill: #1a7f37; font-weight: 700 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d } .panel { fill: #151b23; stroke: #3d444d }
    text { fill: #f0f6fc } .note { fill: #9198a1 } .tick { fill: #3fb950 }
    .sampled { fill: #7a4100 } .drafted { fill: #0d5445 } .forced { fill: #1f3d72 } .resampled { fill: #6b2338 }
    .removed { fill: #5c1f22 } .added { fill: #12441f }
  }
"""


def rows(tokens: Sequence[Mapping[str, Any]]) -> Iterator[list[tuple[str, str]]]:
    """The output line by line: pieces of text with their origins."""
    row: list[tuple[str, str]] = []
    for token in tokens:
        first, *more = token["text"].split("\n")
        row.append((first, token["origin"]))
        for part in more:
            yield row
            row = [(part, token["origin"])]
    if any(text for text, _ in row):
        yield row


def words(x: float, y: float, text: str, kind: str = "", *, fixed: bool = False) -> str:
    """Text at a place; ``fixed``: exactly as wide as its characters, whatever font is at hand."""
    length = f' textLength="{len(text) * CHARACTER:g}" lengthAdjust="spacingAndGlyphs"' if fixed else ""
    return f'<text xml:space="preserve" x="{x:g}" y="{y:g}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}{length}>{escape(text)}</text>\n'


def box(x: float, y: float, width: float, height: float, kind: str, radius: int = 3) -> str:
    """A rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" class="{kind}"/>\n'


def output(x: float, y: float, tokens: Sequence[Mapping[str, Any]]) -> str:
    """What the model wrote, each token on the colour of its origin."""
    drawn = []
    for number, row in enumerate(rows(tokens)):
        at, base = x, y + number * LINE
        for text, origin in row:
            if text:
                width = len(text) * CHARACTER
                drawn.append(box(at + 0.5, base - 15, width - 1, 20, origin) + words(at, base, text, fixed=True))
                at += width
    return "".join(drawn)


def diff(x: float, y: float, patch: str) -> str:
    """The lines of a patch, without its head."""
    drawn = []
    lines = [line for line in patch.splitlines() if not line.startswith(("diff ", "---", "+++", "@@"))]
    for number, line in enumerate(lines):
        base = y + number * LINE
        kind = {"-": "removed", "+": "added"}.get(line[:1])
        if kind:
            drawn.append(box(x - 4, base - 16, PANEL - 32, 22, kind))
        shown = line if len(line) * CHARACTER < PANEL - 40 else line[:45] + "…"
        drawn.append(words(x, base, shown, fixed=True))
    return "".join(drawn)


def picture(demo: Demo, answer: Mapping[str, Any]) -> str:
    """The whole image."""
    report = answer["constraint"]
    origins = {name: count for name, count in report["origins"].items() if count}
    height = 76 + 9 * LINE
    right = LEFT + PANEL + GAP
    parts = [
        words(LEFT + 14, 36, f"“{demo.instruction}”", "head"),
        words(WIDTH - 14 - LEFT - 7.3 * len(demo.path), 36, demo.path, "note"),
        box(LEFT, 54, PANEL, height - 54, "panel", 8),
        words(LEFT + 14, 78, "what the model wrote, token by token", "note"),
        output(LEFT + 14, 108, answer["tokens"]),
        box(right, 54, PANEL, height - 54, "panel", 8),
        words(right + 14, 78, "how it landed", "note"),
        diff(right + 14, 108, answer["patch"]),
    ]
    y = height + 30
    total = sum(origins.values())
    for name, count in origins.items():
        parts += [
            box(LEFT + 2, y - 13, 18, 18, name),
            words(LEFT + 30, y, f"{count} of {total} {name}: {MEANINGS[name]}", "note"),
        ]
        y += LINE
    parser = {"compiler": "Python's own parser agrees", "tree-sitter": "tree-sitter agrees"}
    ticks = [
        "the quoted line is in the file, exactly once",
        f"the file parses: {parser.get(report['syntax'].get(demo.path, ''), 'not checked')}",
        "the patch applies, whatever the model wanted",
    ]
    for number, text in enumerate(ticks):
        base = height + 30 + number * LINE
        parts += [words(right + 4, base, "✓", "tick"), words(right + 24, base, text, "note")]
    y = max(y, height + 30 + len(ticks) * LINE)
    about = f"{demo.instruction}: {report['origins'].get('sampled', 0)} of {total} tokens were sampled by the model."
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">\n'
    )
    return f"{head}<title>{escape(about)}</title>\n<style>{STYLE}</style>\n{box(0.5, 0.5, WIDTH - 1, y - 1, 'ground', 10)}{''.join(parts)}</svg>\n"


def ask(url: str, demo: Demo) -> Mapping[str, Any]:
    """The demonstration's edit, each token with its origin."""
    with DovetailClient(url) as client:
        return client.edit([{"path": demo.path, "content": demo.content}], demo.instruction, trace=True)


def main() -> int:
    """Ask, and draw."""
    demo = read_demo()
    if "--server" in sys.argv:
        answer = ask(sys.argv[sys.argv.index("--server") + 1], demo)
    else:
        handle = start_server_process(load_config({"port": 0, "log_level": "warning"}, {}), lambda share, stage: None)
        try:
            answer = ask(handle.url, demo)
        finally:
            handle.stop()
    if not answer["patch"]:
        print("The model left the file as it is: nothing to draw.", file=sys.stderr)
        return 1
    IMAGE.write_text(picture(demo, answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
