"""``dovetail bundle``: an offline bundle made, or checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def bundle(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The bundle's folder.")],
    check: Annotated[bool, typer.Option("--check", help="Check a bundle instead of making one.")] = False,
    source: Annotated[Path, typer.Option(help="The project's sources.")] = Path(),
    wheel: Annotated[Path | None, typer.Option(help="The project's wheel, instead of its sources.")] = None,
    constraints: Annotated[Path | None, typer.Option(help="Pinned versions (SOURCE/constraints.txt).")] = None,
    python: Annotated[str | None, typer.Option(help="For another Python, such as 3.12.")] = None,
    platform: Annotated[
        list[str] | None, typer.Option(help="For another platform, such as manylinux_2_28_x86_64; repeatable.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A model directory to take along.")] = None,
    sign: Annotated[Path | None, typer.Option(help="A private key to sign that model with.")] = None,
    key: Annotated[Path | None, typer.Option(help="With --check: the public key of the model's signature.")] = None,
) -> None:
    """Make what is needed to install Dovetail where there is no network: wheels, lock, bill of materials, model, script."""
    from dovetail.serve.govern.airgap.bundle import Plan, check_bundle, make_bundle

    if check:
        wheels = check_bundle(out, key)
        typer.echo(f"whole: {len(wheels)} wheels, as listed")
        return
    plan = Plan(
        source=source,
        wheel=wheel,
        constraints=constraints if constraints is not None else source / "constraints.txt",
        python=python,
        platforms=tuple(platform or ()),
        model=model,
        sign=sign,
    )
    wheels = make_bundle(out, plan)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    typer.echo(f"{out}: {len(wheels)} wheels, {size / 2**20:,.0f} MiB; install with: sh {out}/install.sh TARGET")
