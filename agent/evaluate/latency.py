"""Time to the first token, between tokens, and tokens per second: one stream alone, then several together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.statistics import Metric, mean, quantile
from dovetail.agent.evaluate.suite import Sample, Task

_TOKENS = 48
TOGETHER = 8


@dataclass(frozen=True)
class Latency:
    """The suite; every second task is asked several times at once."""

    tasks: Sequence[Task]
    name: str = "latency"
    about: str = (
        f"Streams of {_TOKENS} tokens, alone and {TOGETHER} together. Whatever else the machine does counts, too."
    )
    parallel: int = 1

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """Streams of one prompt."""
        many = TOGETHER if task["together"] else 1
        began = time.perf_counter()
        with ThreadPoolExecutor(many) as pool:
            streams = list(pool.map(lambda number: _stream(client, f"# {number}\n{task['head']}"), range(many)))
        seconds = time.perf_counter() - began
        return {"together": task["together"], "streams": streams, "per_second": many * _TOKENS / seconds}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Of those alone, and of those together."""
        made = []
        for together, name in ((False, "alone"), (True, f"of_{TOGETHER}")):
            chosen = [each for each in samples if each["together"] == together]
            streams = [stream for each in chosen for stream in each["streams"]]
            firsts = [stream[0] * 1000 for stream in streams if stream]
            gaps = [(late - early) * 1000 for stream in streams for early, late in pairwise(stream)]
            where = "one stream alone" if not together else f"{TOGETHER} streams together"
            made += [
                quantile(f"first_token_p50_{name}", firsts, 0.5, "ms", f"time to the first token, {where}, median"),
                quantile(
                    f"first_token_p95_{name}", firsts, 0.95, "ms", f"time to the first token, {where}, 95th percentile"
                ),
                quantile(f"between_p50_{name}", gaps, 0.5, "ms", f"between two events, {where}, median"),
                quantile(f"between_p95_{name}", gaps, 0.95, "ms", f"between two events, {where}, 95th percentile"),
                mean(
                    f"tokens_per_second_{name}",
                    [each["per_second"] for each in chosen],
                    "tokens/s",
                    f"all tokens, {where}",
                ),
            ]
        return made


def latency_tasks(heads: Sequence[Task]) -> list[Task]:
    """Prompts, alone and together in turn."""
    return [{"head": each["head"], "together": bool(at % 2)} for at, each in enumerate(heads)]


def _stream(client: DovetailClient, prompt: str) -> list[float]:
    """Seconds from the question to each event."""
    began = time.perf_counter()
    events = client.stream_completion(prompt=prompt, max_tokens=_TOKENS, temperature=0, ignore_eos=True, seed=1)
    return [time.perf_counter() - began for _ in events]
