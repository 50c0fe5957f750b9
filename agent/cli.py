"""The agent's commands: ``dovetail map``, ``eval``, ``agent``, ``mcp``. Mounted by the one ``dovetail`` command; each part is imported when used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from dovetail.agent.client import DovetailClient
    from dovetail.agent.loop.command import Serving

app = typer.Typer()

DEFAULT_BUDGET = 2000
DEFAULT_SERVER = "http://127.0.0.1:8000"


@app.command("map")
def map_(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="The repository, or a folder of it.")] = Path("."),
    budget: Annotated[int, typer.Option(min=1, help="Longest map in tokens (three bytes each).")] = DEFAULT_BUDGET,
    focus: Annotated[
        list[str] | None, typer.Option("--focus", help="Words, names or paths that the task is about; repeatable.")
    ] = None,
    callers: Annotated[str | None, typer.Option(metavar="SYMBOL", help="Who uses this definition.")] = None,
    impact: Annotated[
        str | None, typer.Option(metavar="PATH_OR_SYMBOL", help="What may break when this changes.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Layers, contexts, and the imports against them.")] = False,
    patterns: Annotated[bool, typer.Option("--patterns", help="The code base's own habits, counted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what matters in a repository: its main definitions, callers, impact, layers, habits. Writes nothing into it."""
    import json

    from dovetail.agent.repo import show
    from dovetail.agent.repo.index import RepoIndex

    with RepoIndex.open(path) as index:
        answers: dict[str, show.Answer] = {}
        if callers is not None:
            answers["callers"] = show.callers(index, callers)
        if impact is not None:
            answers["impact"] = show.impact(index, impact)
        if layers:
            answers["layers"] = show.layers(index)
        if patterns:
            answers["patterns"] = show.patterns(index)
        if not answers:
            answers["map"] = show.map_(index, budget, focus or [])
        about: dict[str, Any] = {"root": str(index.root), "files": len(index.files)}
    if as_json:
        typer.echo(json.dumps(about | {name: answer.data for name, answer in answers.items()}, indent=2))
    else:
        typer.echo("\n".join(answer.text.rstrip("\n") for answer in answers.values()))


@app.command("eval")
def eval_(
    suites: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SUITE...]",
            help="edits, infill, syntax, prediction, latency (all: these five), debugging, refactors (agent: these two, minutes a "
            "task), or files of JSON lines.",
        ),
    ] = None,
    server: Annotated[str, typer.Option(envvar="DOVETAIL_SERVER", help="What is measured.")] = DEFAULT_SERVER,
    model: Annotated[str | None, typer.Option(help="Which of its models or adapters; default: the first.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|URL", help="Measure this one, too (another server: another model or other settings)."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Tasks per suite.")] = 60,
    seed: Annotated[int, typer.Option(help="Chooses the tasks.")] = 1,
    source: Annotated[
        Path | None, typer.Option(help="A folder of Python files; default: Python's own library.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for results; default: where the server's card finds them.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A.json B.json", help="Show two results side by side instead.")
    ] = None,
) -> None:
    """Measure a running server by tasks with known answers, for its system card. A run that is cut off goes on where it was."""
    from rich.console import Console

    from dovetail.agent.client import DovetailClient
    from dovetail.agent.evaluate import command

    console = Console()
    if compare is not None:
        command.show_comparison(*compare, console)
        return
    if not suites:
        raise typer.BadParameter(f"name a suite: {command.NAMES}, or a file", param_hint="SUITE")
    folder = out or command.default_folder()
    with DovetailClient(server, model=model) as client:
        found = command.evaluate(suites, client, source, samples, seed, folder, console, model)
    if against is None:
        return
    elsewhere = against.startswith(("http://", "https://"))
    other = None if elsewhere else against
    with DovetailClient(against if elsewhere else server, model=other) as client:
        others = command.evaluate(suites, client, source, samples, seed, folder, console, other)
    for one, two in zip(found, others, strict=True):
        command.show_comparison(one, two, console)


@app.command("agent")
def agent(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="What to do, in a sentence or more.")] = None,
    path: Annotated[Path, typer.Option(help="The repository.")] = Path("."),
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Show requirements and plan; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking, if everything is done.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines; write only with --yes.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run of this trajectory.")] = None,
    undo: Annotated[Path | None, typer.Option(help="Take back what the run of this trajectory wrote.")] = None,
    candidates: Annotated[int, typer.Option(min=1, max=16, help="Candidate edits per subtask.")] = 3,
    check: Annotated[
        list[str] | None, typer.Option(help="A command that has to pass in the end; runs contained; repeatable.")
    ] = None,
    allow: Annotated[list[str] | None, typer.Option(help="A protected file that may change; repeatable.")] = None,
    allow_api: Annotated[
        list[str] | None, typer.Option(help="A public name that may go or change; repeatable.")
    ] = None,
    allow_test_changes: Annotated[bool, typer.Option("--allow-test-changes", help="Tests may go.")] = False,
    server: Annotated[str | None, typer.Option(envvar="DOVETAIL_SERVER", help="The server's address.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name, if the server asks for one.")] = None,
    seed: Annotated[int, typer.Option(help="Seeds of the candidates follow from it.")] = 1,
    max_steps: Annotated[int, typer.Option(min=1, help="Model calls and commands together.")] = 200,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of prompts and answers together.")] = 2_000_000,
    max_seconds: Annotated[float, typer.Option(min=1, help="Wall time of the run.")] = 3600.0,
    fix: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Mend what this failing command shows, instead of a task.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=50, help="With --fix: how often the command is run.")] = 3,
    issue: Annotated[
        str | None, typer.Option(metavar="FILE", help="Do what this issue asks (Markdown; - is stdin), on --branch.")
    ] = None,
    branch: Annotated[str | None, typer.Option(help="With --issue: the new branch, in a work tree of its own.")] = None,
) -> None:
    """Do a task in a repository: plan, edit in copies, check, report; the diff is shown before anything is written."""
    from dovetail.agent.loop import RunLimits, Settings
    from dovetail.agent.loop.command import continue_run, start_run, take_back

    if undo is not None:
        if task or resume or fix or issue or branch:
            raise typer.BadParameter("--undo takes a trajectory, and nothing to do beside it.", param_hint="--undo")
        raise typer.Exit(take_back(undo))
    limits = RunLimits(max_steps, max_tokens, max_seconds)
    serving: Serving = context.obj or _client_of
    if fix is not None:
        from dovetail.agent.debug.command import start_fix
        from dovetail.agent.debug.settings import FixSettings

        if task or resume or not fix.strip():
            raise typer.BadParameter(
                "--fix takes a failing command, and no TASK or --resume beside it.", param_hint="--fix"
            )
        wanted = FixSettings(
            fix,
            path.resolve(),
            candidates=candidates,
            repeats=repeats,
            seed=seed,
            explain_only=plan_only,
            model=model,
            checks=tuple(check or ()),
            allow=tuple(allow or ()),
            allow_api=tuple(allow_api or ()),
            limits=limits,
        )
        raise typer.Exit(start_fix(wanted, serving, server, yes=yes, as_json=as_json))
    if resume is not None:
        from dovetail.agent.debug.command import continue_fix
        from dovetail.agent.loop.trajectory import is_repair

        again = continue_fix if is_repair(resume) else continue_run
        raise typer.Exit(again(resume, limits, serving, server, yes=yes, as_json=as_json))
    if issue is not None or branch is not None:
        from dovetail.agent.issue.text import read_issue

        if task or plan_only or issue is None or branch is None:
            wrong = "--issue and --branch go together, without TASK and --plan-only."
            raise typer.BadParameter(wrong, param_hint="--issue")
        asked = read_issue(issue)
        task = asked.task
    if task is None or not task.strip():
        raise typer.BadParameter("Say what to do, or --resume a trajectory.", param_hint="TASK")
    settings = Settings(
        task,
        path.resolve(),
        candidates=candidates,
        seed=seed,
        plan_only=plan_only,
        model=model,
        checks=tuple(check or ()),
        allow=tuple(allow or ()),
        allow_api=tuple(allow_api or ()),
        allow_tests=allow_test_changes,
        limits=limits,
    )
    if branch is not None:
        from dovetail.agent.issue.command import start_issue

        raise typer.Exit(start_issue(asked, branch, settings, serving, server, as_json=as_json))
    raise typer.Exit(start_run(settings, serving, server, yes=yes, as_json=as_json))


@app.command("mcp")
def mcp(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="The repository; nothing outside is reached.")] = Path(
        "."
    ),
    server: Annotated[str, typer.Option(envvar="DOVETAIL_SERVER", help="The server for edits.")] = DEFAULT_SERVER,
    allow: Annotated[list[str] | None, typer.Option(help="A protected file that may change; repeatable.")] = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve over HTTP on this machine, for those with the token.")
    ] = None,
) -> None:
    """Serve map, find, edit, check, apply and undo of one repository to other agents, over MCP on stdin and stdout or HTTP."""
    from dovetail.agent.client import DovetailClient
    from dovetail.agent.mcp.project import Project
    from dovetail.agent.mcp.server import serve

    serve(Project(path, lambda: DovetailClient(server), allow or ()), http)


@contextmanager
def _client_of(url: str | None, console: Console) -> Iterator[DovetailClient]:
    """A client of the named server, or of the usual one."""
    from dovetail.agent.client import DovetailClient

    with DovetailClient(url or DEFAULT_SERVER) as client:
        yield client
