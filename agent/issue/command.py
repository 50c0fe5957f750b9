"""``dovetail agent --issue``: does what an issue asks, commits it on a branch of its own, says how to look at it.

Exit codes: 0 done and committed; 1 not, or partly done.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import replace

import typer
from rich.console import Console

from dovetail.agent.issue.branch import Branch, slug
from dovetail.agent.issue.text import Issue
from dovetail.agent.loop import events, trajectory
from dovetail.agent.loop.agent import Agent
from dovetail.agent.loop.command import Serving, listener, map_tokens
from dovetail.agent.loop.report import Report
from dovetail.agent.loop.settings import Settings

_LONGEST_SUBJECT = 72


def start_issue(
    issue: Issue, branch_name: str, settings: Settings, serving: Serving, server: str | None, *, as_json: bool
) -> int:
    """Work on the issue; ``settings.root`` is the user's repository, which stays as it is but for the new branch."""
    runs = trajectory.default_folder()
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(branch_name)}-{os.getpid()}"
    branch = Branch(settings.root, branch_name, runs.parent / "branches" / stamp)
    console = Console(stderr=as_json)
    if branch.uncommitted:
        _print(console, "Changes that are not committed are no part of the branch.")
    with serving(server, console) as client:
        branch.open()
        written = False
        try:
            fitting = replace(settings, root=branch.folder.resolve(), map_tokens=map_tokens(client))
            report = Agent(fitting, client, runs / f"{stamp}.jsonl", listener=listener(console, as_json)).run()
            report.keep(fitting.root, write=report.may_be_written and not report.uncontained)
            written = report.written
        finally:
            if not written:
                branch.drop()
    commit = branch.commit(sorted(report.changes), message(issue, report)) if written else ""
    if as_json:
        told = {"branch": branch.name, "commit": commit, "folder": str(branch.folder) if commit else ""}
        typer.echo(json.dumps({**events.Finished(report.to_dict()).to_dict(), **told}))
    else:
        _print(console, report.to_markdown())
        _print(console, "\n".join(_how(branch, commit)))
    return 0 if commit and report.outcome == "done" else 1


def message(issue: Issue, report: Report) -> str:
    """The commit's message, from the report: what was asked, what shows it, what nothing shows."""
    subject = issue.title if report.outcome == "done" else f"{issue.title} (in part)"
    if len(subject) > _LONGEST_SUBJECT:
        subject = subject[: _LONGEST_SUBJECT - 3].rstrip() + "..."
    lines = [f"- {each.requirement.text}: {each.status} ({each.shown_by})" for each in report.requirements]
    parts = [subject, f"Made by dovetail agent from an issue; outcome: {report.outcome}.", "\n".join(lines)]
    if report.notes:
        parts.append("\n".join(["Notes:", *(f"- {note}" for note in report.notes)]))
    return "\n\n".join(part for part in parts if part).replace("\0", "") + "\n"


def _how(branch: Branch, commit: str) -> list[str]:
    if not commit:
        return [f"Nothing was committed; the branch {branch.name} was taken back."]
    name, folder = shlex.quote(branch.name), shlex.quote(str(branch.folder))
    git = f"git -C {shlex.quote(str(branch.repository))}"
    return [
        f"Committed on the branch {branch.name} ({commit[:10]}), in {branch.folder}; nothing was pushed.",
        f"  look at it:  {git} log -p {branch.base[:10]}..{name}",
        f"  take it:     {git} merge {name}",
        f"  remove it:   {git} worktree remove --force {folder} && {git} branch -D {name}",
    ]


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
