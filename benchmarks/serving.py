"""How fast does a server answer? A load client for any OpenAI-compatible server: ours or a peer.

    python benchmarks/serving.py --url http://127.0.0.1:8000 --concurrency 1 8 --prompt-tokens 512 --max-tokens 128

Sends streamed completions of made-up prompts (a shared prefix if asked), at a concurrency or an arrival rate, in interleaved
rounds, and reports medians: time to first token, time between tokens, tokens per second. Tokens are counted by the server's
own usage. Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

WORDS = [
    "def",
    "return",
    "self",
    "value",
    "items",
    "total",
    "index",
    "name",
    "result",
    "for",
    "in",
    "if",
    "not",
    "None",
    "True",
    "False",
    "import",
    "class",
    "list",
    "dict",
]


@dataclass
class Answer:
    """One request as the client saw it; seconds from its start."""

    first_s: float = 0.0
    whole_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0


def make_prompt(rng: random.Random, words: int, shared: str) -> str:
    """About ``words`` words of made-up code behind the shared prefix."""
    return shared + " ".join(
        rng.choice(WORDS) + (f"_{rng.randrange(1000)}" if rng.random() < 0.2 else "") for _ in range(words)
    )


async def ask(client: httpx.AsyncClient, model: str, prompt: str, max_tokens: int, fixed_length: bool = True) -> Answer:
    """Stream one completion."""
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if fixed_length:
        body["ignore_eos"] = True
    answer, start, last = Answer(), time.perf_counter(), 0.0
    async with client.stream("POST", "/v1/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk: dict[str, Any] = json.loads(line.removeprefix("data: "))
            if chunk.get("usage"):
                answer.tokens = chunk["usage"]["completion_tokens"]
                answer.prompt_tokens = chunk["usage"]["prompt_tokens"]
                details = chunk["usage"].get("prompt_tokens_details") or {}
                answer.cached_tokens = details.get("cached_tokens") or 0
            if chunk.get("choices") and chunk["choices"][0].get("text"):
                now = time.perf_counter() - start
                if last:
                    answer.gaps_s.append(now - last)
                else:
                    answer.first_s = now
                last = now
    answer.whole_s = time.perf_counter() - start
    return answer


async def load(
    client: httpx.AsyncClient, model: str, prompts: list[str], at_once: int, options: argparse.Namespace
) -> tuple[float, list[Answer]]:
    """Answer all prompts, ``at_once`` at a time or arriving ``options.rate`` per second; returns the seconds it took."""
    slots = asyncio.Semaphore(at_once)
    start = time.perf_counter()

    async def one(number: int, prompt: str) -> Answer:
        if options.rate:
            await asyncio.sleep(number / options.rate)
        async with slots:
            return await ask(client, model, prompt, options.max_tokens, not options.standard_fields)

    answers = await asyncio.gather(*(one(number, prompt) for number, prompt in enumerate(prompts)))
    return time.perf_counter() - start, list(answers)


def figures(seconds: float, answers: list[Answer]) -> dict[str, float]:
    """What one round says."""
    gaps = sorted(gap for answer in answers for gap in answer.gaps_s) or [0.0]
    decode_s = [answer.whole_s - answer.first_s for answer in answers]
    return {
        "tokens_per_s": sum(answer.tokens for answer in answers) / seconds,
        "stream_tokens_per_s": statistics.median(
            max(0, answer.tokens - 1) / max(spent, 1e-6) for answer, spent in zip(answers, decode_s, strict=True)
        ),
        "first_token_s": statistics.median(answer.first_s for answer in answers),
        "between_tokens_p50_s": gaps[len(gaps) // 2],
        "between_tokens_p99_s": gaps[int(len(gaps) * 0.99)],
        "prompt_tokens": statistics.median(answer.prompt_tokens for answer in answers),
        "cached_tokens": statistics.median(answer.cached_tokens for answer in answers),
    }


async def measure(options: argparse.Namespace) -> dict[int, dict[str, float]]:
    """Medians over the rounds, by concurrency."""
    rng = random.Random(options.seed)
    headers = {"authorization": f"Bearer {options.api_key}"}
    seen: dict[int, list[dict[str, float]]] = {at_once: [] for at_once in options.concurrency}
    # A connection per request: some servers close idle ones at a moment of their own choosing.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=options.url, headers=headers, timeout=None, trust_env=False, limits=limits
    ) as client:
        model = options.model or (await client.get("/v1/models")).json()["data"][0]["id"]
        shared = make_prompt(rng, options.shared_tokens // 2, "") + "\n" if options.shared_tokens else ""
        for number in range(options.rounds + 1):
            for at_once in options.concurrency:
                count = options.requests or 2 * at_once
                # Words are about two tokens each for code tokenizers; the figures show the server's own count.
                prompts = [make_prompt(rng, options.prompt_tokens // 2, shared) for _ in range(count)]
                seconds, answers = await load(client, model, prompts, at_once, options)
                if number:  # the first round warms up
                    seen[at_once].append(figures(seconds, answers))
    return {
        at_once: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for at_once, rounds in seen.items()
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--url", default="http://127.0.0.1:8000")
    parse.add_argument("--model")
    parse.add_argument("--api-key", default="none")
    parse.add_argument("--concurrency", type=int, nargs="+", default=[1, 8])
    parse.add_argument("--requests", type=int, help="per round (default: twice the concurrency)")
    parse.add_argument("--rate", type=float, default=0.0, help="arrivals per second (default: all at once)")
    parse.add_argument("--prompt-tokens", type=int, default=256)
    parse.add_argument("--shared-tokens", type=int, default=0, help="of a prefix that all prompts share")
    parse.add_argument("--max-tokens", type=int, default=64)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--standard-fields", action="store_true", help="no ignore_eos, for servers that refuse it")
    parse.add_argument("--seed", type=int, default=0)
    return parse


def main() -> None:
    """Measure, print a table and the JSON line."""
    options = parser().parse_args()
    results = asyncio.run(measure(options))
    table = Table(
        "concurrency",
        "tokens/s",
        "tokens/s per stream",
        "first token",
        "gap p50",
        "gap p99",
        "cached",
        title=options.url,
    )
    for at_once, row in results.items():
        table.add_row(
            str(at_once),
            f"{row['tokens_per_s']:,.1f}",
            f"{row['stream_tokens_per_s']:,.1f}",
            f"{row['first_token_s'] * 1e3:,.0f} ms",
            f"{row['between_tokens_p50_s'] * 1e3:,.1f} ms",
            f"{row['between_tokens_p99_s'] * 1e3:,.1f} ms",
            f"{row['cached_tokens']:.0f}/{row['prompt_tokens']:.0f}",
        )
    Console().print(table)
    rounded = {str(k): {key: round(value, 5) for key, value in row.items()} for k, row in results.items()}
    print(json.dumps({"benchmark": "serving", "url": options.url, "concurrency": rounded}))


if __name__ == "__main__":
    main()
