"""``dovetail agent``: runs a task, shows what happens, asks, writes. The run itself is elsewhere.

Exit codes: 0 done and written (or planned, with --plan-only); 1 not done, or not written.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console

from dovetail.agent.client import DovetailClient
from dovetail.agent.diff import colour_diff
from dovetail.agent.loop import events, trajectory, undo
from dovetail.agent.loop.agent import Agent
from dovetail.agent.loop.limits import RunLimits
from dovetail.agent.loop.report import Report
from dovetail.agent.loop.run_report import RunReport
from dovetail.agent.loop.settings import Settings
from dovetail.agent.repo.text import printable, words_of
from dovetail.agent.terminal import confirmed

Serving = Callable[[str | None, Console], AbstractContextManager[DovetailClient]]
"""Gives a client of the server at an address, or of one that it finds or starts."""

_MOST_MAP_TOKENS = 2000


def start_run(settings: Settings, serving: Serving, server: str | None, *, yes: bool, as_json: bool) -> int:
    """Run a task from its beginning."""
    name = "-".join(words_of(settings.task))[:40] or "task"
    path = trajectory.default_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{secrets.token_hex(3)}.jsonl"
    console = Console(stderr=as_json)
    with serving(server, console) as client:
        fitting = replace(settings, map_tokens=map_tokens(client))
        return _run(
            Agent(fitting, client, path, listener=listener(console, as_json)), fitting.root, console, yes, as_json
        )


def continue_run(
    path: Path, limits: RunLimits, serving: Serving, server: str | None, *, yes: bool, as_json: bool
) -> int:
    """Take up an earlier run."""
    records, _ = trajectory.read(path)
    settings = Settings.from_header(records[0], limits)
    console = Console(stderr=as_json)
    with serving(server, console) as client:
        agent = Agent(settings, client, path, resume=True, listener=listener(console, as_json))
        return _run(agent, settings.root, console, yes, as_json)


def run_and_write(settings: Settings, client: DovetailClient, path: Path, console: Console) -> int:
    """Run a task in a passing copy with a client at hand, telling a person, and write what is done without a question."""
    agent = Agent(settings, client, path, listener=listener(console, as_json=False))
    return _run(agent, settings.root, console, yes=True, as_json=False, temporary=True)


def _run(agent: Agent, root: Path, console: Console, yes: bool, as_json: bool, temporary: bool = False) -> int:
    report = agent.run()
    report.temporary = temporary
    if report.changes and not as_json:
        console.print(colour_diff(report.patch))
    write = report.may_be_written and _wanted(report, console, yes, as_json)
    report.keep(root, write=write)
    tell_report(report, console, as_json)
    return 0 if report.written or report.outcome == "planned" else 1


def _wanted(report: Report, console: Console, yes: bool, as_json: bool) -> bool:
    """Whether to write: without a question only what is done completely."""
    if yes or as_json:
        return yes and report.is_complete
    unchecked = [each.requirement.id for each in report.requirements if each.status == "unchecked"]
    if unchecked:
        console.print(f"Not shown by any check: {', '.join(unchecked)}.", style="yellow")
    tell_warnings(report, console)
    return confirmed(f"Write {len(report.changes)} file{'s' if len(report.changes) > 1 else ''} ({report.outcome})?")


def tell_warnings(report: RunReport, console: Console) -> None:
    """What a person has to know before an answer."""
    for each in report.warnings:
        console.print(printable(each), markup=False, highlight=False, soft_wrap=True, style="yellow")


def take_back(path: Path) -> int:
    """Bring the files of an earlier run back, and say which."""
    done = undo.undo(path)
    for word, paths in (("restored", done.restored), ("kept, for it was changed since", done.kept)):
        for each in paths:
            typer.echo(f"{word}: {printable(each)}")
    if not done.restored and not done.kept:
        typer.echo("Everything is as it was before that run.")
    return 1 if done.kept else 0


def listener(
    console: Console, as_json: bool, lines: Callable[[events.Event], list[str]] | None = None
) -> events.Listener:
    """Tells events: as JSON lines on standard output, or a person in words (``lines``: those of a run)."""
    told = lines or _lines

    def tell(event: events.Event) -> None:
        if as_json:
            typer.echo(json.dumps(event.to_dict()))
        else:
            for line in told(event):
                console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    return tell


def tell_report(report: RunReport, console: Console, as_json: bool) -> None:
    """The report, as the last event or as a person reads it."""
    if as_json:
        typer.echo(json.dumps(events.Finished(report.to_dict()).to_dict()))
    else:
        console.print(report.to_markdown(), markup=False, highlight=False, soft_wrap=True)


def _lines(event: events.Event) -> list[str]:
    """What a person is told of an event."""
    if isinstance(event, events.RequirementsFound):
        return ["requirements:", *(f"  {each['id']} {each['text']} [{each['check']}]" for each in event.requirements)]
    if isinstance(event, events.Planned):
        how = "by rule" if event.by == "rule" else "by the model"
        steps = [
            f"  {each['id']} {each['instruction']} ({', '.join((*each['files'], *each['new_files']))})"
            for each in event.subtasks
        ]
        return [f"planned {how}:", *steps, *(f"  risk: {risk}" for risk in event.risks)]
    if isinstance(event, events.CandidateMade):
        what = event.problem or (
            f"the same as {event.same_as}" if event.same_as is not None else f"{event.lines} lines"
        )
        return [f"{event.subtask} candidate {event.number}: {what}"]
    if isinstance(event, events.Checked):
        state = "ok" if event.passed else f"not run: {event.skipped}" if event.skipped else "objects"
        return [f"  {event.rung}: {state}", *(f"    {each}" for each in event.findings)]
    if isinstance(event, events.SubtaskEnded):
        return [f"{event.id} {'accepted' if event.accepted else 'not done: ' + event.why}"]
    return [event.text] if isinstance(event, events.Noted) else []


def map_tokens(client: DovetailClient) -> int:
    """Room for the map: at most a quarter of the model's window."""
    lengths = [entry.get("context_length") for entry in client.models() if isinstance(entry, dict)]
    known = [length for length in lengths if isinstance(length, int) and length > 0]
    return max(200, min([_MOST_MAP_TOKENS, *(length // 4 for length in known)]))
