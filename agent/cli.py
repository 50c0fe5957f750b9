"""The agent's commands: ``dovetail map``. Mounted by the one ``dovetail`` command; each part is imported when used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()

DEFAULT_BUDGET = 2000


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
