"""Does a long prompt stall the others? Gaps between the tokens of running streams, without and with a long prompt coming in.

    python benchmarks/fairness.py --url http://127.0.0.1:8000 --long-tokens 4000

Also measures the second turn: the same long prompt again, with a few tokens more. Works with any OpenAI-compatible server; the
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from serving import Answer, ask, make_prompt


async def streams(client: httpx.AsyncClient, model: str, rng: random.Random, count: int, tokens: int) -> list[Answer]:
    """``count`` short prompts with long answers, side by side."""
    return list(await asyncio.gather(*(ask(client, model, make_prompt(rng, 16, ""), tokens) for _ in range(count))))


def gap(answers: list[Answer], share: float) -> float:
    """A quantile of all gaps, in seconds."""
    gaps = sorted(each for answer in answers for each in answer.gaps_s)
    return gaps[min(len(gaps) - 1, int(share * len(gaps)))]


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Medians over the rounds."""
    rng = random.Random(options.seed)
    rounds: list[dict[str, float]] = []
    async with httpx.AsyncClient(base_url=options.url, timeout=None, trust_env=False) as client:
        model = options.model or (await client.get("/v1/models")).json()["data"][0]["id"]
        for number in range(options.rounds + 1):
            alone = await streams(client, model, rng, options.streams, options.max_tokens)
            long_prompt = make_prompt(rng, options.long_tokens // 2, "")
            running = asyncio.create_task(streams(client, model, rng, options.streams, options.max_tokens))
            await asyncio.sleep(0.3)
            cold = await ask(client, model, long_prompt, 8)
            beside = await running
            again = await ask(client, model, long_prompt + " return value", 8)
            fresh = await ask(client, model, make_prompt(rng, options.long_tokens // 2, ""), 8)
            if number:
                rounds.append(
                    {
                        "gap_p50_alone_s": gap(alone, 0.5),
                        "gap_max_alone_s": gap(alone, 1.0),
                        "gap_p50_beside_s": gap(beside, 0.5),
                        "gap_max_beside_s": gap(beside, 1.0),
                        "long_first_token_beside_s": cold.first_s,
                        "long_first_token_alone_s": fresh.first_s,
                        "second_turn_first_token_s": again.first_s,
                        "second_turn_ratio": fresh.first_s / again.first_s,
                        "long_prompt_tokens": cold.prompt_tokens,
                    }
                )
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def main() -> None:
    """Measure, print a table and the JSON line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--url", default="http://127.0.0.1:8000")
    parse.add_argument("--model")
    parse.add_argument("--streams", type=int, default=4)
    parse.add_argument("--max-tokens", type=int, default=256)
    parse.add_argument("--long-tokens", type=int, default=4000)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--seed", type=int, default=0)
    options = parse.parse_args()
    result: dict[str, Any] = asyncio.run(measure(options))
    table = Table(
        "figure",
        "median",
        title=f"{options.streams} streams beside a prompt of {result['long_prompt_tokens']:.0f} tokens",
    )
    for name, value in result.items():
        table.add_row(name, f"{value:,.4g}")
    Console().print(table)
    print(json.dumps({"benchmark": "fairness", **{name: round(value, 5) for name, value in result.items()}}))


if __name__ == "__main__":
    main()
