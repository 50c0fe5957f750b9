"""``dovetail keys`` and ``dovetail usage``: the database of keys from the command line, whether a server runs on it or not."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.config.sources import load_config

keys_app = typer.Typer(help="API keys: made, listed, rotated, revoked.", no_args_is_help=True)
usage_app = typer.Typer()

Store = Annotated[
    str | None,
    typer.Option("--keys", help="The server's database of keys: a file, or postgresql://... (DOVETAIL_KEYS)."),
]
Config = Annotated[Path | None, typer.Option(help="The server's TOML file, which may name it.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]

_SPAN = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, or what it is for.")],
    group: Annotated[str | None, typer.Option(help="A group of the access file.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model it may use, such as 'qwen*'; repeatable.")] = None,
    endpoint: Annotated[list[str] | None, typer.Option(help="A path it may call, such as '/v1/*'; repeatable.")] = None,
    tool: Annotated[list[str] | None, typer.Option(help="A tool that requests may offer; repeatable.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It opens the administrators' endpoints.")] = False,
    expires: Annotated[str | None, typer.Option(help="After a time, such as 90d.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    requests_per_day: Annotated[int | None, typer.Option(min=1)] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=1)] = None,
    streams: Annotated[int | None, typer.Option(min=1, help="Answers being made at a time.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help="Longest prompt and answer, in tokens.")] = None,
    keys: Store = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once."""
    from dovetail.serve.govern.keys.describe import described
    from dovetail.serve.govern.keys.table import create_key
    from dovetail.serve.govern.principal import Quota, Scopes

    scopes = Scopes(
        models=tuple(model or ("*",)), endpoints=tuple(endpoint or ("*",)), tools=tuple(tool or ("*",)), admin=admin
    )
    try:
        quota = Quota(
            requests_per_minute=requests_per_minute,
            requests_per_day=requests_per_day,
            tokens_per_minute=tokens_per_minute,
            tokens_per_day=tokens_per_day,
            streams=streams,
            context=context,
        )
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    now = time.time()
    until = None if expires is None else now + span_of(expires)
    with _database(keys, config, group) as database:
        key, text = database.call(
            lambda session: create_key(session, name, now=now, group=group, scopes=scopes, quota=quota, expires=until)
        )
    _recorded("create", key.id, key.name, config)
    _show_once(text, described(key, now), as_json)


@keys_app.command("list")
def list_all(keys: Store = None, config: Config = None, as_json: AsJson = False) -> None:
    """List keys; never their secrets."""
    from dovetail.serve.govern.keys.describe import described
    from dovetail.serve.govern.keys.table import list_keys

    with _database(keys, config) as database:
        found = [described(key, time.time()) for key in database.call(list_keys)]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    rows = [["id", "name", "group", "standing", "expires", "scopes", "quota"]]
    rows += [
        [
            key["id"],
            key["name"],
            key["group"] or "",
            key["standing"],
            key["expires"] or "",
            _short(key["scopes"]),
            _short(key["quota"]),
        ]
        for key in found
    ]
    _table(rows)


@keys_app.command("rotate")
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    grace: Annotated[str, typer.Option(help="How long the old secret stays good, such as 1d.")] = "0s",
    keys: Store = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret. It is shown once."""
    from dovetail.serve.govern.keys.describe import described
    from dovetail.serve.govern.keys.table import rotate_key

    now, seconds = time.time(), span_of(grace)
    with _database(keys, config) as database:
        key, text = database.call(lambda session: rotate_key(session, key_id, now=now, grace_seconds=seconds))
    _recorded("rotate", key.id, key.name, config)
    _show_once(text, described(key, now), as_json)


@keys_app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], keys: Store = None, config: Config = None) -> None:
    """Let a key open nothing any more. A running server knows within a second."""
    from dovetail.serve.govern.keys.table import revoke_key

    with _database(keys, config) as database:
        key = database.call(lambda session: revoke_key(session, key_id, now=time.time()))
    _recorded("revoke", key.id, key.name, config)
    typer.echo(f"revoked {key.id} ({key.name})")


@usage_app.command()
def usage(
    by: Annotated[str, typer.Option(help="key, group, model, endpoint, day or hour.")] = "key",
    since: Annotated[str | None, typer.Option(help="A day (2026-11-01), or a time back from now (7d).")] = None,
    keys: Store = None,
    config: Config = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """What was used, by whole hours of UTC."""
    from dovetail.serve.govern.quotas.usage import BY, report

    if by not in BY:
        raise ConfigError(f"--by must be one of {', '.join(BY)}, not {by!r}.", param="by")
    start = 0.0 if since is None else since_of(since)
    with _database(keys, config) as database:
        lines = [asdict(line) for line in database.call(lambda session: report(session, by, start))]
    for line in lines:
        line[by] = line.pop("what")
    columns = [by, *(["name"] if by == "key" else []), "requests", "refused", "prompt_tokens", "completion_tokens"]
    rows = [[line[column] for column in columns] for line in lines]
    if as_json:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
    elif as_csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        typer.echo(text.getvalue(), nl=False)
    else:
        _table([columns, *([str(cell) for cell in row] for row in rows)])


def span_of(text: str) -> float:
    """Seconds in ``90d``, ``12h``, ``30m``, ``10s``, ``2w``."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is no time such as 90d, 12h, 30m or 10s.")
    from dovetail.serve.govern.keys.key import LONGEST_SECONDS

    seconds = int(match[1]) * _SECONDS[match[2]] if len(match[1]) < 12 else LONGEST_SECONDS + 1
    if seconds > LONGEST_SECONDS:
        raise ConfigError(f"{text!r} is longer than a hundred years.")
    return float(seconds)


def since_of(text: str) -> float:
    """Seconds since 1970 of a day, or of a time back from now."""
    if _SPAN.fullmatch(text):
        return time.time() - span_of(text)
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is neither a day such as 2026-11-01 nor a time such as 7d.", param="since"
        ) from error


def _recorded(action: str, key_id: str, name: str, config: Path | None) -> None:
    """Record a change of keys, where the server's settings name an audit log: in a chain of this command's own."""
    from dovetail.serve.govern.audit.log import record_once
    from dovetail.serve.govern.audit.settings import audit_settings

    settings = audit_settings(load_config({}, os.environ, config))
    if settings is not None:
        told = {"action": f"keys {action}", "key": key_id, "key_name": name, "by": f"uid {os.getuid()}"}
        record_once(replace(settings, name="commands", anchor=None), "admin", told)


@contextlib.contextmanager
def _database(keys: str | None, config: Path | None, group: str | None = None) -> Iterator[Any]:
    """The server's database; ``group`` must be one of its access file."""
    from dovetail.serve.govern.access.document import read_access_file
    from dovetail.serve.govern.store.database import Database

    settings = load_config({"keys": keys}, os.environ, config)
    if settings.keys is None:
        raise ConfigError(
            "Which keys? Name the server's database with --keys FILE, or in DOVETAIL_KEYS; "
            "a file that is not there is made.",
            param="keys",
        )
    if group is not None:
        groups = read_access_file(settings.access).groups if settings.access is not None else {}
        if group not in groups:
            raise ConfigError(f"There is no group {group!r}: name the access file that has it in DOVETAIL_ACCESS.")
    with contextlib.closing(Database(settings.keys)) as database:
        yield database


def _show_once(text: str, key: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**key, "key": text}, indent=2))
        return
    typer.echo(text)
    typer.echo(f"{key['name']}: this is the only time that the key is shown.", err=True)


def _short(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in values.items())


def _table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
