"""``dovetail audit``: logs verified, shown, and the keys of old periods destroyed; offline, from their files or their database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.store.database import POSTGRES

app = typer.Typer(help="The audit log: verified, shown, old texts destroyed.", no_args_is_help=True)

Place = Annotated[
    str,
    typer.Argument(
        metavar="DIR|URL", envvar="DOVETAIL_AUDIT", help="The folder of the log, or the PostgreSQL database of several."
    ),
]
Name = Annotated[
    str | None, typer.Option(help="Of one server's log in it; without it: of audit in a folder, of all in a database.")
]
Anchor = Annotated[Path | None, typer.Option(help="The anchor, where it lies elsewhere.")]
Keys = Annotated[Path | None, typer.Option(help="The keys of texts, where they lie elsewhere.")]
SealKey = Annotated[Path | None, typer.Option("--seal", help="The key of the seal; the public one is enough.")]


@app.command()
def verify(
    place: Place,
    name: Name = None,
    anchor: Anchor = None,
    seal: SealKey = None,
    no_anchor: Annotated[bool, typer.Option("--no-anchor", help="Do without the anchor of a folder.")] = False,
) -> None:
    """Check every record and the anchor. Names the first bad record; status 1 then."""
    from dovetail.serve.govern.audit import verify as checks
    from dovetail.serve.govern.audit.anchor import Seal

    key = Seal(seal) if seal is not None else None
    if place.startswith(POSTGRES):
        if anchor is not None and name is None:
            raise ConfigError("An anchor is of one log: say which with --name.", param="anchor")
        verdicts = _there(checks.verify_shared(place, name, key, anchor), name)
    else:
        settings = _settings(place, name, anchor)
        verdicts = {"": checks.verify(settings, key, anchored=not no_anchor)}
    for log, verdict in verdicts.items():
        head = f"{log}: " if log else ""
        for note in verdict.notes:
            typer.echo(f"{head}note: {note}")
        if verdict.problem is not None:
            typer.echo(f"{head}BAD: {verdict.problem}")
        else:
            where = f" in {verdict.segments} segments" if not log else ""
            typer.echo(f"{head}whole: {verdict.records} records{where}")
    if any(verdict.problem is not None for verdict in verdicts.values()):
        raise typer.Exit(1)


@app.command()
def show(
    place: Place,
    name: Name = None,
    who: Annotated[str | None, typer.Option(help="A caller's id or name.")] = None,
    since: Annotated[str | None, typer.Option(help="A time, such as 2026-11-22 or 2026-11-22T10:30.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Such as /v1/edits.")] = None,
    decision: Annotated[str | None, typer.Option(help="Such as refused, quota, policy, decline.")] = None,
    keys: Keys = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show records, with texts where their keys are still there. It does not verify them."""
    from dovetail.serve.govern.audit import show as shown

    wanted = shown.Filter(who=who, since=since, endpoint=endpoint, decision=decision)
    found: Iterator[dict[str, Any]]
    if place.startswith(POSTGRES):
        found = shown.shared_records(place, wanted, name, keys)
    else:
        found = shown.records(_settings(place, name, None, keys), wanted)
    for record in found:
        if as_json:
            typer.echo(json.dumps(record, ensure_ascii=False))
            continue
        caller = (record.get("who") or {}).get("name", "")
        usage = record.get("usage") or {}
        cells = [*(record.get(each) for each in ("log", "seq", "time", "kind")), caller]
        cells += [record.get("endpoint"), record.get("decision"), *usage.values()]
        typer.echo("  ".join(str(cell) for cell in cells if cell not in (None, "")))


@app.command()
def destroy(
    place: Place,
    before: Annotated[str, typer.Option(help="A period, such as 2026-11-01 or 2026-11: those before it.")],
    name: Name = None,
    anchor: Anchor = None,
    keys: Keys = None,
    seal: SealKey = None,
) -> None:
    """Destroy the keys of old periods: their texts can no longer be read, and the chain still verifies.

    No server may be writing the log; a running one does it by itself (--audit-retention-days).
    """
    from dovetail.serve.govern.audit.log import destroy_keys

    if place.startswith(POSTGRES):
        if name is None or keys is None:
            raise ConfigError(
                "Whose keys, and where? Give --name and --keys.", param="name" if name is None else "keys"
            )
        settings = AuditSettings(database=place, name=name, anchor=anchor, keys=keys, seal=seal)
    else:
        settings = _settings(place, name, anchor, keys, seal)
    destroyed = destroy_keys(settings, before)
    typer.echo(f"destroyed: {', '.join(destroyed) or 'none'}")


def _there(verdicts: dict[str, Any], name: str | None) -> dict[str, Any]:
    if not verdicts:
        which = f" named {name!r}" if name is not None else ""
        raise ConfigError(f"The database holds no audit log{which}.", param="audit")
    return verdicts


def _settings(
    place: str, name: str | None, anchor: Path | None, keys: Path | None = None, seal: Path | None = None
) -> AuditSettings:
    settings = AuditSettings(folder=Path(place), name=name or "audit", anchor=anchor, keys=keys, seal=seal)
    if not settings.segments():
        raise ConfigError(f"{place} holds no audit log named {settings.name!r}.", param="audit")
    return settings
