"""Results of ``dovetail eval`` as a card takes them: read from a folder, kept apart by the deployment they were measured on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import structlog

FORMAT = 1
_LARGEST = 4 << 20

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.card")


class Metric(msgspec.Struct, frozen=True):
    """A measured figure. ``low`` and ``high``: the bounds of its 95 % confidence interval; None: it has none."""

    name: str
    value: float
    n: int
    unit: str
    low: float | None = None
    high: float | None = None
    about: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one suite. ``quantisation``: as the card named it then; empty: the result does not say.
    ``model_digest``: of the model's files."""

    object: Literal["evaluation"]
    format: int
    suite: str
    suite_digest: str
    about: str = ""
    model: str
    fingerprint: str
    quantisation: str = ""
    model_digest: str | None = None
    seed: int
    started: str
    finished: str
    command: str
    complete: bool
    metrics: tuple[Metric, ...]


def evaluations_in(folder: Path | None) -> tuple[Evaluation, ...]:
    """The complete results in a folder, oldest first. A file that is none is named in the log, and left out."""
    found: list[Evaluation] = []
    for path in sorted(folder.glob("*.json")) if folder is not None and folder.is_dir() else ():
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError("it is too large")
            result = msgspec.json.decode(path.read_bytes(), type=Evaluation)
            if result.format != FORMAT:
                raise ValueError(f"its format is {result.format}, not {FORMAT}")
        except (OSError, ValueError) as error:
            log.warning("no evaluation", file=str(path), why=str(error))
            continue
        if result.complete:
            found.append(result)
    return tuple(sorted(found, key=lambda each: each.finished))


def latest(results: Sequence[Evaluation], fingerprint: str) -> tuple[Evaluation, ...]:
    """The last result of each suite that was measured on this very deployment."""
    newest = {each.suite: each for each in results if each.fingerprint == fingerprint}
    return tuple(newest[suite] for suite in sorted(newest))
