"""Single lines to be filled in between what stands before and behind them. Judged by the line's text."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.sources import Snippet, parses
from dovetail.agent.evaluate.statistics import Metric, share
from dovetail.agent.evaluate.suite import Sample, Task

_SHORTEST = 6


@dataclass(frozen=True)
class Infill:
    """The suite."""

    tasks: Sequence[Task]
    name: str = "infill"
    about: str = "Single lines filled in (fill-in-the-middle), greedy."
    parallel: int = 4

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """One gap."""
        lines = task["middle"].count("\n") + 1
        answer = client.completion(
            prompt=task["prefix"],
            suffix=task["suffix"],
            max_tokens=48 * lines,
            temperature=0,
            stop=["\n"] if lines == 1 else None,
        )
        text = str(answer["choices"][0]["text"])
        whole = task["prefix"] + text + task["suffix"]
        return {"exact": text.strip() == task["middle"].strip(), "parses": parses(whole), "said": text[:200]}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Shares."""
        return [
            share("exact", [each["exact"] for each in samples], "gaps filled with the very line that stood there"),
            share(
                "parses",
                [each["parses"] for each in samples],
                "functions that parse with the gap filled, unconstrained",
            ),
        ]


def infill_tasks(source: Iterable[Snippet], count: int, seed: int) -> list[Task]:
    """``count`` tasks, each of one function."""
    made: list[Task] = []
    for snippet in source:
        if len(made) == count:
            break
        lines = snippet.text.splitlines(keepends=True)
        places = [at for at in range(2, len(lines) - 1) if len(lines[at].strip()) >= _SHORTEST]
        if not places:
            continue
        at = random.Random(f"{seed} {snippet.path} {snippet.name}").choice(places)
        line = lines[at].rstrip("\n")
        indent = line[: len(line) - len(line.lstrip())]
        made.append(
            {
                "prefix": "".join(lines[:at]) + indent,
                "middle": line.removeprefix(indent),
                "suffix": "\n" + "".join(lines[at + 1 :]),
            }
        )
    return made
