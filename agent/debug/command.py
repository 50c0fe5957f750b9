"""``dovetail agent --fix``: runs a repair, shows what happens, asks, writes. The run itself is elsewhere.

Exit codes: 0 fixed and written (or explained, with --plan-only); 1 not fixed, or not written.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from dovetail.agent.debug.fix import Fixer
from dovetail.agent.debug.report import FixReport
from dovetail.agent.debug.settings import FixSettings
from dovetail.agent.diff import colour_diff
from dovetail.agent.loop import events, trajectory
from dovetail.agent.loop.command import Serving, listener, tell_report, tell_warnings
from dovetail.agent.loop.limits import RunLimits
from dovetail.agent.repo.text import words_of
from dovetail.agent.terminal import confirmed


def start_fix(settings: FixSettings, serving: Serving, server: str | None, *, yes: bool, as_json: bool) -> int:
    """Mend what a failing command shows."""
    name = "-".join(words_of(settings.command))[:40] or "command"
    path = trajectory.default_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-fix-{name}-{os.getpid()}.jsonl"
    return _run(settings, path, serving, server, yes=yes, as_json=as_json, resume=False)


def continue_fix(
    path: Path, limits: RunLimits, serving: Serving, server: str | None, *, yes: bool, as_json: bool
) -> int:
    """Take up an earlier repair."""
    records, _ = trajectory.read(path)
    settings = FixSettings.from_header(records[0], limits)
    return _run(settings, path, serving, server, yes=yes, as_json=as_json, resume=True)


def _run(
    settings: FixSettings, path: Path, serving: Serving, server: str | None, *, yes: bool, as_json: bool, resume: bool
) -> int:
    console = Console(stderr=as_json)
    with ExitStack() as stack:
        client = None if settings.explain_only else stack.enter_context(serving(server, console))
        report = Fixer(settings, client, path, resume=resume, listener=listener(console, as_json, _lines)).run()
    if report.patch and not as_json:
        console.print(colour_diff(report.patch))
    report.keep(settings.root, write=report.outcome == "fixed" and _wanted(report, console, yes, as_json))
    tell_report(report, console, as_json)
    if not as_json:
        console.print(f"The run is kept in {report.trajectory}", markup=False, highlight=False, style="dim")
    return 0 if report.written or report.outcome == "explained" else 1


def _wanted(report: FixReport, console: Console, yes: bool, as_json: bool) -> bool:
    if yes or as_json:
        return yes
    tell_warnings(report, console)
    return confirmed(f"Write {len(report.changes)} file{'s' if len(report.changes) > 1 else ''}?")


def _lines(event: events.Event) -> list[str]:
    if isinstance(event, events.CandidateMade):
        return [f"candidate {event.number}: {f'refused: {event.problem}' if event.problem else 'accepted'}"]
    return [event.text] if isinstance(event, events.Noted) else []
