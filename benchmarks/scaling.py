"""What does routing by conversation bring with 1 to 1,000 servers? A simulation (serve/capacity/simulate.py), with a plot.

    python benchmarks/scaling.py [--servers 1,3,10,30,100,300,1000] [--load 0.05] [--svg FILE]

Each server gets the same load of new conversations per second, however many there are. Compared: routing by a consistent hash of
the conversation with bounded loads, and to the least busy server. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dovetail.serve.capacity.simulate import Outcome, Routing, Setting, simulate

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 300, 60, 250
ROUTINGS: tuple[Routing, ...] = ("prefix", "least busy")
_COLOURS = {"prefix": "#2563eb", "least busy": "#b45309"}


def svg(servers: Sequence[int], outcomes: dict[Routing, list[Outcome]]) -> str:
    """The share of prompts found in a cache, over the number of servers."""
    most = math.log10(max(servers)) or 1.0

    def x(count: int) -> float:
        return _LEFT + math.log10(count) / most * (_WIDTH - _LEFT - 120)

    def y(share: float) -> float:
        return _BOTTOM - share * (_BOTTOM - 30)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18">share of prompt tokens found in a prefix cache, by number of servers</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 110}" y1="{y(share)}" y2="{y(share)}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(share) + 4}" text-anchor="end">{share:.0%}</text>')
    parts += [f'<text x="{x(count):.1f}" y="{_BOTTOM + 20}" text-anchor="middle">{count}</text>' for count in servers]
    for routing, found in outcomes.items():
        points = " ".join(f"{x(count):.1f},{y(each.cached):.1f}" for count, each in zip(servers, found, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{_COLOURS[routing]}" stroke-width="2"/>')
        parts.append(
            f'<text x="{_WIDTH - 104}" y="{y(found[-1].cached) + 4:.1f}" fill="{_COLOURS[routing]}">{routing}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    """Simulate, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="1,3,10,30,100,300,1000")
    parser.add_argument("--load", type=float, default=0.05, help="new conversations per second and server")
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    servers = [int(each) for each in options.servers.split(",")]
    outcomes: dict[Routing, list[Outcome]] = {routing: [] for routing in ROUTINGS}
    table = Table("servers", "routing", "cached", "first token p50", "p95", "fullest")
    for count in servers:
        for routing in ROUTINGS:
            setting = Setting(
                servers=count, arrivals=options.load * count, routing=routing, conversations=max(200, 20 * count)
            )
            found = simulate(setting)
            outcomes[routing].append(found)
            table.add_row(
                str(count),
                routing,
                f"{found.cached:.1%}",
                f"{found.first_token_p50_s:.2f} s",
                f"{found.first_token_p95_s:.2f} s",
                f"{found.fullest:.2f}",
            )
    Console().print(table)
    if options.svg is not None:
        options.svg.write_text(svg(servers, outcomes), encoding="utf-8")
    told = {
        routing: {str(count): round(each.cached, 3) for count, each in zip(servers, found, strict=True)}
        for routing, found in outcomes.items()
    }
    print(json.dumps({"benchmark": "scaling", "load": options.load, "cached": told}))


if __name__ == "__main__":
    main()
