"""Writes benchmarks.md: what is measured by which command, and the results that are recorded, from benchmarks/ itself.

python docs/generators/list_benchmarks.py            write the page
python docs/generators/list_benchmarks.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from generated import DOCS, NOTE, cell, code, keep

ROOT = DOCS.parent
ABOUT = frozenset({"machine", "commit", "date", "command", "benchmark"})
MOST = 12
"""Figures shown of one result; the file has all."""

HEAD = """# Benchmarks

{note}
Every figure in this documentation comes from a command that you can run. Each benchmark prints a table, and one JSON object as its last line;
those lines, with machine, commit and date, are kept in `benchmarks/results/*.jsonl`. A benchmark refuses to report where its own check of
correctness fails.

Three ways to look at your own deployment, none of which needs this page: `dovetail eval all` (a running server, for its
[system card](system-card.md)), `dovetail plan` (on paper, [capacity.md](capacity.md)), `make bench` (this machine).

```sh
make bench
```

## What is measured

`python benchmarks/NAME.py --help` says what each can be told.

| question | command |
|---|---|
"""

RESULTS = """
## Results so far

The newest result for each machine and command. **Machines differ, and these were shared with other work** where the command says so: compare
only what was measured side by side. *None of it was measured on a GPU unless it says so.* In comparisons (`compare`),
a ratio above 1 means that Dovetail did better. What the figures taught is in the [log](log.md).
"""


def questions() -> Iterator[tuple[str, str]]:
    """Benchmarks that ask something, by the first sentence of their docstrings."""
    for path in sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "benchmarks").glob("*/*.py")]):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = " ".join(docstring.split("\n\n")[0].split())
        if "?" in first:
            yield path.relative_to(ROOT).as_posix(), first


def figures(value: Any, name: str = "") -> Iterator[str]:
    """What a result says, flat: names and numbers."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if name or key not in ABOUT:
                yield from figures(each, f"{name}, {key}" if name else str(key))
    elif isinstance(value, float):
        yield f"{name}: {value:,.3g}" if abs(value) < 100 else f"{name}: {value:,.0f}"
    elif isinstance(value, int) and not isinstance(value, bool):
        yield f"{name}: {value:,}"
    elif isinstance(value, str):
        yield f"{name}: {value}"


def newest(paths: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """The last result for each machine and command, by benchmark."""
    last: dict[tuple[str, ...], dict[str, Any]] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            result = json.loads(line)
            same = (result["benchmark"], result["machine"], result["command"], str(result.get("weights", "")))
            last.pop(same, None)
            last[same] = result
    found: dict[str, list[dict[str, Any]]] = {}
    for result in last.values():
        found.setdefault(result["benchmark"], []).append(result)
    return found


def table(results: list[dict[str, Any]]) -> str:
    """Results of one benchmark."""
    rows = ["| figures | command | machine, commit |\n|---|---|---|\n"]
    for result in reversed(results):
        told = list(figures(result))
        shown = "<br>".join(cell(each.replace("_", " ")) for each in told[:MOST])
        more = f"<br>and {len(told) - MOST} more" if len(told) > MOST else ""
        where = f"{result['machine']}; {code(result['commit'])}, {result['date']}"
        rows.append(f"| {shown}{more} | {code(result['command'])} | {cell(where)} |\n")
    return "".join(rows)


def text() -> str:
    """The page."""
    asked = "".join(f"| {cell(question)} | {code(name)} |\n" for name, question in questions())
    found = newest(sorted((ROOT / "benchmarks" / "results").glob("*.jsonl")))
    tables = [f"\n### {name.replace('_', ' ')}\n\n{table(results)}" for name, results in sorted(found.items())]
    return HEAD.format(note=NOTE.format(script="list_benchmarks.py")) + asked + RESULTS + "".join(tables)


if __name__ == "__main__":
    sys.exit(keep("benchmarks.md", text()))
