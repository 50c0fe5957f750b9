"""Two servers side by side: ours and a peer, the same prompts, interleaved rounds, ratios.

    python benchmarks/compare.py --ours http://127.0.0.1:8000 --peer http://127.0.0.1:8080 --peer-name llama.cpp

Both must serve the same model directory at the same bits per weight (see peers.md for how to start them). A ratio above 1
means that ours is better, for rates and for times alike. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics

from rich.console import Console
from rich.table import Table
from serving import measure, parser

BETTER_IF_LESS = ("first_token_s", "between_tokens_p50_s", "between_tokens_p99_s")
SHOWN = ("tokens_per_s", "stream_tokens_per_s", *BETTER_IF_LESS)


def ratio(name: str, ours: float, peer: float) -> float:
    """How many times better ours is."""
    ours, peer = max(ours, 1e-9), max(peer, 1e-9)
    return peer / ours if name in BETTER_IF_LESS else ours / peer


async def interleaved(options: argparse.Namespace) -> dict[int, dict[str, list[tuple[float, float]]]]:
    """(ours, peer) figures of every round, by concurrency and name. The servers take turns, and turns at being first."""
    seen: dict[int, dict[str, list[tuple[float, float]]]] = {}
    for number in range(options.repeats):
        figures = {}
        for url in (options.ours, options.peer) if number % 2 == 0 else (options.peer, options.ours):
            single = argparse.Namespace(**{**vars(options), "url": url, "rounds": 1, "seed": options.seed + number})
            figures[url] = await measure(single)
        for at_once in options.concurrency:
            for name in SHOWN:
                pair = (figures[options.ours][at_once][name], figures[options.peer][at_once][name])
                seen.setdefault(at_once, {}).setdefault(name, []).append(pair)
    return seen


def main() -> None:
    """Measure both, print a table of ratios and the JSON line."""
    parse = parser()
    parse.description = __doc__
    parse.add_argument("--ours", default="http://127.0.0.1:8000")
    parse.add_argument("--peer", required=True)
    parse.add_argument("--peer-name", default="peer")
    parse.add_argument("--repeats", type=int, default=5)
    options = parse.parse_args()
    seen = asyncio.run(interleaved(options))
    table = Table("concurrency", "figure", "ours", options.peer_name, "ratio (median)", "least", "most")
    result: dict[str, dict[str, float]] = {}
    for at_once, names in seen.items():
        for name, pairs in names.items():
            ratios = sorted(ratio(name, ours, peer) for ours, peer in pairs)
            middle = statistics.median(ratios)
            result.setdefault(str(at_once), {})[name] = round(middle, 3)
            ours, peer = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
            cells = f"{ours:,.4g}", f"{peer:,.4g}", f"{middle:.2f}", f"{ratios[0]:.2f}", f"{ratios[-1]:.2f}"
            table.add_row(str(at_once), name, *cells)
    Console().print(table)
    print(json.dumps({"benchmark": "compare", "peer": options.peer_name, "ratios": result}))


if __name__ == "__main__":
    main()
