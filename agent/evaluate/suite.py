"""What a suite of tasks is, and what becomes of one task. Runs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.statistics import Metric

Task = Mapping[str, Any]
"""What is asked, and the right answer; JSON."""
Sample = Mapping[str, Any]
"""What came of one task; JSON."""


class Suite(Protocol):
    """Tasks of one kind."""

    @property
    def name(self) -> str:
        """As the command line and the card call it."""
        ...

    @property
    def about(self) -> str:
        """What it measures, in a sentence."""
        ...

    @property
    def tasks(self) -> Sequence[Task]:
        """All of them, in order."""
        ...

    @property
    def parallel(self) -> int:
        """How many may be asked at once."""
        ...

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """Ask the server one task, and judge what it says. Raises ServerProblem."""
        ...

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """What all samples together show."""
        ...


def digest_of(tasks: Sequence[Task]) -> str:
    """The same for the same tasks."""
    return "sha256:" + hashlib.sha256(json.dumps(list(tasks), sort_keys=True).encode()).hexdigest()
