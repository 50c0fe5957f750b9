"""``dovetail doctor``: the checks, one line each, and what to do about those that are not well. Starts no server."""

from __future__ import annotations

import dataclasses
import json
import os
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

_MARKS = {"good": "✓", "note": "·", "warn": "!", "bad": "✗"}
_COLOURS = {"good": "green", "note": "dim", "warn": "yellow", "bad": "bold red"}


@app.command()
def doctor(
    model: Annotated[Path | None, typer.Argument(metavar="[MODEL_DIR]", help="Default: as configured.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with the server's settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Check hardware, kernels, ports, model, licence, signature and clock; say what to fix. Status 1 where something is bad."""
    from dovetail.serve.config.sources import load_config
    from dovetail.serve.doctor.doors import doors
    from dovetail.serve.doctor.machine import machine
    from dovetail.serve.doctor.model import models

    settings = load_config({"model": model}, os.environ, config)
    found = list(chain(machine(), models(settings), doors(settings)))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=2, ensure_ascii=False))
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, padding=(0, 1))
        for each in found:
            said = each.said if not each.fix else f"{each.said}\n→ {each.fix}"
            colour = _COLOURS[each.state]
            table.add_row(f"[{colour}]{_MARKS[each.state]}[/]", each.name, Text(said))
        Console().print(table)
        _summary([each.state for each in found])
    if any(each.state == "bad" for each in found):
        raise typer.Exit(1)


def _summary(states: list[str]) -> None:
    bad, warned = states.count("bad"), states.count("warn")
    if bad:
        typer.echo(f"{bad} to fix before serving" + (f", {warned} to look at." if warned else "."))
    else:
        typer.echo(f"Ready to serve; {warned} to look at." if warned else "Ready to serve.")
