"""Suites from a file of JSON lines: programs with tests (as HumanEval has them), gaps to fill, edits. Programs run in the sandbox.

A program: ``prompt``, ``test``, ``entry_point``. A gap: ``prefix``, ``middle``, ``suffix``. An edit: ``files``, ``instruction``,
``after`` (text by path).
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.edits import Edits
from dovetail.agent.evaluate.infill import Infill
from dovetail.agent.evaluate.statistics import Metric, share
from dovetail.agent.evaluate.suite import Sample, Suite, Task
from dovetail.agent.problems import FileProblem
from dovetail.agent.sandbox.config import SandboxConfig
from dovetail.agent.sandbox.outcome import MIB, Limits
from dovetail.agent.sandbox.sandbox import Sandbox

_NEW_TOKENS = 512
_STOPS = ("\ndef ", "\nclass ", "\nif ", "\nprint(", "\n@")
_LIMITS = Limits(timeout=20.0, cpu=20, memory=1024 * MIB, processes=32, disk=256 * MIB)


@dataclass(frozen=True)
class Programs:
    """Functions to be written; their tests run contained."""

    tasks: Sequence[Task]
    name: str
    about: str = (
        "Functions written from their head, greedy, unconstrained; right where their tests pass in the sandbox."
    )
    parallel: int = 1

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """One function."""
        answer = client.completion(prompt=task["prompt"], max_tokens=_NEW_TOKENS, temperature=0, stop=list(_STOPS[:4]))
        text = str(answer["choices"][0]["text"])
        for stop in _STOPS:
            text = text.split(stop)[0]
        program = f"{task['prompt']}{text}\n\n{task['test']}\n\ncheck({task['entry_point']})\n"
        with tempfile.TemporaryDirectory(prefix="dovetail-eval-") as folder:
            (Path(folder) / "program.py").write_text(program, encoding="utf-8")
            sandbox = Sandbox.choose(SandboxConfig(Path(folder), limits=_LIMITS))
            outcome = sandbox.run((sys.executable, "-I", "program.py"))
        return {"passed": outcome.ok, "ended_by": outcome.ended_by, "said": text[:2000]}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """A share."""
        return [share("pass_at_1", [each["passed"] for each in samples], "programs that pass their tests")]


def suite_from(path: Path, limit: int | None = None, taken: Collection[str] = ()) -> Suite:
    """The suite in a file, called as the file is; ``limit``: its first tasks alone; ``taken``: names of other suites.

    Raises:
        FileProblem: it cannot be read, or its lines are not tasks of one kind.
    """
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise FileProblem(f"{path} is no file of JSON lines: {error}") from error
    kinds = {_kind(path, number, line) for number, line in enumerate(lines, 1)}
    if len(kinds) != 1:
        raise FileProblem(f"{path} must hold tasks of one kind; it holds {', '.join(sorted(kinds)) or 'none'}.")
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "file"
    name = f"{name}-file" if name in taken else name
    tasks = lines[:limit]
    kind = kinds.pop()
    if kind == "program":
        return Programs(tasks, name)
    return Infill(tasks, name) if kind == "gap" else Edits(tasks, name)


def _kind(path: Path, number: int, line: Any) -> str:
    for kind, fits in _FIELDS.items():
        if isinstance(line, Mapping) and all(isinstance(line.get(name), type_) for name, type_ in fits.items()):
            return kind
    shapes = "; ".join(f"{kind}: {', '.join(fits)}" for kind, fits in _FIELDS.items())
    raise FileProblem(f"{path}, line {number}: it is no task. A task has the fields of one of these: {shapes}.")


_FIELDS: Mapping[str, Mapping[str, type]] = {
    "program": {"prompt": str, "test": str, "entry_point": str},
    "gap": {"prefix": str, "middle": str, "suffix": str},
    "edit": {"files": list, "instruction": str, "after": dict},
}
