"""``dovetail agent --fix``: runs a repair, shows what happens, asks, writes. The run itself is elsewhere.

Exit codes: 0 fixed and written (or explained, with --plan-only); 1 not fixed, or not written.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path

import typer
from rich.console import Console

from dovetail.agent.debug.fix import Fixer
from dovetail.agent.debug.report import FixReport
from dovetail.agent.debug.settings import FixSettings
from dovetail.agent.diff import colour_diff
from dovetail.agent.loop import events, trajectory
from dovetail.agent.loop.command import Serving
from dovetail.agent.loop.writing import save_text, write_changes
from dovetail.agent.repo.text import printable, words_of
from dovetail.agent.terminal import confirmed


def start_fix(settings: FixSettings, serving: Serving, server: str | None, *, yes: bool, as_json: bool) -> int:
    """Mend what a failing command shows."""
    name = "-".join(words_of(settings.command))[:40] or "command"
    path = trajectory.default_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-fix-{name}-{os.getpid()}.jsonl"
    console = Console(stderr=as_json)
    with ExitStack() as stack:
        client = None if settings.explain_only else stack.enter_context(serving(server, console))
        report = Fixer(settings, client, path, listener=_listener(console, as_json)).run()
    if report.patch and not as_json:
        console.print(colour_diff(report.patch))
    _finish(report, settings.root, write=report.outcome == "fixed" and _wanted(report, yes, as_json))
    if as_json:
        typer.echo(json.dumps(events.Finished(report.to_dict()).to_dict()))
    else:
        console.print(report.to_markdown(), markup=False, highlight=False, soft_wrap=True)
        console.print(f"The run is kept in {report.trajectory}", markup=False, highlight=False, style="dim")
    return 0 if report.written or report.outcome == "explained" else 1


def _wanted(report: FixReport, yes: bool, as_json: bool) -> bool:
    if yes or as_json:
        return yes
    return confirmed(f"Write {len(report.changes)} file{'s' if len(report.changes) > 1 else ''}?")


def _finish(report: FixReport, root: Path, *, write: bool) -> None:
    """Write the changes, or keep them as a patch beside the record; and the report there."""
    path = Path(report.trajectory)
    if write:
        write_changes(root, report.changes)
        report.written = True
    elif report.patch:
        patch = path.with_suffix(".patch")
        save_text(patch, report.patch)
        report.patch_file = str(patch)
    save_text(path.with_suffix(".md"), report.to_markdown())
    save_text(path.with_suffix(".report.json"), json.dumps(report.to_dict(), indent=2))


def _listener(console: Console, as_json: bool) -> events.Listener:
    def tell(event: events.Event) -> None:
        if as_json:
            typer.echo(json.dumps(event.to_dict()))
        elif isinstance(event, events.Noted):
            console.print(printable(event.text), markup=False, highlight=False, soft_wrap=True)
        elif isinstance(event, events.CandidateMade):
            said = f"refused: {event.problem}" if event.problem else "accepted"
            console.print(printable(f"candidate {event.number}: {said}"), markup=False, highlight=False, soft_wrap=True)

    return tell
