"""The second halves of functions: does what the model writes unconstrained parse, and how well does it predict what stood there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.sources import Snippet, parses
from dovetail.agent.evaluate.statistics import Metric, mean, share
from dovetail.agent.evaluate.suite import Sample, Task

_NEW_TOKENS = 96
_LONGEST = 600
_CUTS = 3


@dataclass(frozen=True)
class Syntax:
    """The suite that lets the model write on."""

    tasks: Sequence[Task]
    name: str = "syntax"
    about: str = "Functions written on without any constraint, greedy: do they parse."
    parallel: int = 4

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """One function."""
        answer = client.completion(prompt=task["head"], max_tokens=_NEW_TOKENS, temperature=0)
        lines = (task["head"] + str(answer["choices"][0]["text"])).splitlines(keepends=True)
        # The budget ends in the middle of something: a cut at one of the last ends of lines counts.
        cuts = range(len(lines), max(task["head"].count("\n"), len(lines) - _CUTS), -1)
        return {"parses": any(parses("".join(lines[:cut])) for cut in cuts)}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """A share."""
        return [share("parses", [each["parses"] for each in samples], "functions that parse as the model writes them")]


@dataclass(frozen=True)
class Prediction:
    """The suite that makes the model say what stood there, and looks at how likely it found each token.

    The output is held to the text by a regular expression; log probabilities are those of the unconstrained distribution.
    """

    tasks: Sequence[Task]
    name: str = "prediction"
    about: str = "How well the model predicts the second halves of functions, in its likeliest spelling of them."
    parallel: int = 4

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """One function."""
        tail = task["tail"]
        answer = client.completion(
            prompt=task["head"], max_tokens=2 * len(tail.encode()), temperature=0, logprobs=0, regex=re.escape(tail)
        )
        choice = answer["choices"][0]
        if choice["text"] != tail:
            return {"bits": None, "bytes": len(tail.encode())}
        nats = math.fsum(each for each in choice["logprobs"]["token_logprobs"] if each is not None)
        return {"bits": -nats / math.log(2), "bytes": len(tail.encode())}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Bits per byte: of each text, then their mean."""
        each = [sample["bits"] / sample["bytes"] for sample in samples if sample["bits"] is not None]
        return [mean("bits_per_byte", each, "bits", "bits per byte of source text")]


def halves(source: Iterable[Snippet], count: int) -> list[Task]:
    """``count`` functions, cut at the end of a line near their middle."""
    made: list[Task] = []
    for snippet in source:
        if len(made) == count:
            break
        lines = snippet.text.splitlines(keepends=True)
        at = len(lines) // 2
        tail = "".join(lines[at:])[:_LONGEST]
        if snippet.text.isascii():
            made.append({"head": "".join(lines[:at]), "tail": tail})
    return made
