"""``dovetail audit``: a log verified, shown, and the keys of old periods destroyed; offline, from its files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.settings import AuditSettings

app = typer.Typer(help="The audit log: verified, shown, old texts destroyed.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the log.")]
Name = Annotated[str, typer.Option(help="Of the server's log in it.")]
Anchor = Annotated[Path | None, typer.Option(help="The anchor, where it lies elsewhere.")]
Keys = Annotated[Path | None, typer.Option(help="The keys of texts, where they lie elsewhere.")]
SealKey = Annotated[Path | None, typer.Option("--seal", help="The key of the seal; the public one is enough.")]


@app.command()
def verify(
    folder: Folder,
    name: Name = "audit",
    anchor: Anchor = None,
    seal: SealKey = None,
    no_anchor: Annotated[bool, typer.Option("--no-anchor", help="Do without the anchor.")] = False,
) -> None:
    """Check every record and the anchor. Names the first bad record; status 1 then."""
    from dovetail.serve.govern.audit import verify as checks
    from dovetail.serve.govern.audit.anchor import Seal

    settings = _settings(folder, name, anchor)
    verdict = checks.verify(settings, Seal(seal) if seal is not None else None, anchored=not no_anchor)
    for note in verdict.notes:
        typer.echo(f"note: {note}")
    if verdict.problem is not None:
        typer.echo(f"BAD: {verdict.problem}")
        raise typer.Exit(1)
    typer.echo(f"whole: {verdict.records} records in {verdict.segments} segments")


@app.command()
def show(
    folder: Folder,
    name: Name = "audit",
    who: Annotated[str | None, typer.Option(help="A caller's id or name.")] = None,
    since: Annotated[str | None, typer.Option(help="A time, such as 2026-11-22 or 2026-11-22T10:30.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Such as /v1/edits.")] = None,
    decision: Annotated[str | None, typer.Option(help="Such as refused, quota, policy, decline.")] = None,
    keys: Keys = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show records, with texts where their keys are still there. It does not verify them."""
    from dovetail.serve.govern.audit.show import Filter, records

    settings = _settings(folder, name, None, keys)
    for record in records(settings, Filter(who=who, since=since, endpoint=endpoint, decision=decision)):
        if as_json:
            typer.echo(json.dumps(record, ensure_ascii=False))
            continue
        caller = (record.get("who") or {}).get("name", "")
        usage = record.get("usage") or {}
        cells = (record["seq"], record["time"], record["kind"], caller, record.get("endpoint"), record.get("decision"))
        typer.echo("  ".join(str(cell) for cell in (*cells, *usage.values()) if cell not in (None, "")))


@app.command()
def destroy(
    folder: Folder,
    before: Annotated[str, typer.Option(help="A period, such as 2026-11-01 or 2026-11: those before it.")],
    name: Name = "audit",
    anchor: Anchor = None,
    keys: Keys = None,
    seal: SealKey = None,
) -> None:
    """Destroy the keys of old periods: their texts can no longer be read, and the chain still verifies.

    No server may be writing the log; a running one does it by itself (--audit-retention-days).
    """
    from dovetail.serve.govern.audit.log import destroy_keys

    settings = _settings(folder, name, anchor, keys, seal)
    destroyed = destroy_keys(settings, before)
    typer.echo(f"destroyed: {', '.join(destroyed) or 'none'}")


def _settings(
    folder: Path, name: str, anchor: Path | None, keys: Path | None = None, seal: Path | None = None
) -> AuditSettings:
    settings = AuditSettings(folder=folder, name=name, anchor=anchor, keys=keys, seal=seal)
    if not settings.segments():
        raise ConfigError(f"{folder} holds no audit log named {name!r}.", param="audit")
    return settings
