"""Talking to a person at a terminal: loading bars and yes-or-no questions. Knows neither servers nor files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class LoadingBars:
    """A bar for the present stage of loading; called with ``(share, stage)``, the share of the stage that is done.

    The display is live only while a stage is unfinished, so that it is out of the way of a serving server's log.
    """

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=console, transient=True)
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, share: float, stage: str) -> None:
        if stage != self._stage or self._task is None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._stage, self._task = stage, self._bars.add_task(stage, total=1.0)
        self._bars.update(self._task, completed=share)
        if share >= 1.0:
            self.close()
        elif self._bars.console.is_terminal:
            self._bars.start()

    def close(self) -> None:
        """End the display; where there is none, nothing is written, not even the end of a line."""
        if self._bars.live.is_started:
            self._bars.stop()


@contextmanager
def loading_bars() -> Iterator[LoadingBars]:
    """Bars on standard error, gone at the end whatever happens."""
    bars = LoadingBars(Console(stderr=True))
    try:
        yield bars
    finally:
        bars.close()


def confirmed(question: str) -> bool:
    """Whether the person agrees; nobody there to ask means no."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        typer.echo()
        return False
