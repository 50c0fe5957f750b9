"""The command ``dovetail check``. Exit codes: 0 agrees; 1 differs; 2 cannot be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dovetail.models.check.finding import CannotCheck
from dovetail.models.check.run import check_model
from dovetail.models.errors import ModelDirectoryError

app = typer.Typer()

_MARKS = {True: "same  ", False: "DIFFERS", None: "no check"}


@app.command()
def check(
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="The directory to check.")],
    dtype: Annotated[str, typer.Option(help="The type both compute in: float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Compare a model directory, as Dovetail reads it, with transformers: tokens, chat template, logits on sample code."""
    if dtype not in ("float32", "bfloat16", "float16"):
        raise typer.BadParameter("must be float32, bfloat16 or float16", param_hint="--dtype")
    differs = []
    try:
        for finding in check_model(model, dtype, device):
            typer.echo(f"{finding.part:<9} {_MARKS[finding.agrees]:<8} {finding.said}")
            if finding.agrees is False:
                differs.append(finding.part)
    except (CannotCheck, ModelDirectoryError) as error:
        typer.echo(f"dovetail check: {error}", err=True)
        raise typer.Exit(2) from error
    if differs:
        typer.echo(
            f"verdict: {model} differs from transformers in {', '.join(differs)}; do not serve it before that is understood"
        )
        raise typer.Exit(1)
    typer.echo(f"verdict: {model} agrees with transformers")
