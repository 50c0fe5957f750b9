"""``dovetail card``: fetches a server's system card, and checks signed ones."""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dovetail.serve.errors import EngineError, UserError

app = typer.Typer()


@app.command()
def card(
    context: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="DOVETAIL_SERVER", help="Whose card. Default: http://127.0.0.1:8000, or one started for it."
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="markdown, json, html, cyclonedx or dsse.")] = "markdown",
    name: Annotated[str | None, typer.Option(help="An earlier one: its id, or a system_fingerprint.")] = None,
    out: Annotated[Path | None, typer.Option(help="A file to write it to.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check a signed card in this file instead of fetching one.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The public key, for --check.")] = None,
) -> None:
    """Show the system card of a server: what it is, what was measured, what is guaranteed, what is not known."""
    if check is not None:
        text = _checked(check, key)
    else:
        with _asked(context, server) as url:
            text = _fetched(url, form, name)
    if out is not None:
        out.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {out}")
    else:
        typer.echo(text, nl=not text.endswith("\n"))


@contextmanager
def _asked(context: typer.Context, server: str | None) -> Iterator[str]:
    """The address of the named server; of the usual one if it answers; else of one that whoever mounts this command starts."""
    if server is not None or context.obj is None:
        yield server or "http://127.0.0.1:8000"
        return
    from rich.console import Console

    with context.obj(None, Console(stderr=True)) as client:
        yield client.url


def _fetched(server: str, form: str, name: str | None) -> str:
    import os

    import httpx

    key = os.environ.get("DOVETAIL_API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    path = "/v1/system-card" + (f"/{name}" if name else "")
    try:
        answer = httpx.get(
            server.rstrip("/").removesuffix("/v1") + path,
            params={"format": form},
            headers=headers,
            timeout=60,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EngineError(f"No server answers at {server}: {error}. Start one with: dovetail serve") from error
    if answer.status_code != 200:
        raise UserError(f"The server answered {answer.status_code}: {_why(answer.text)}")
    if form in ("json", "cyclonedx", "dsse"):
        return json.dumps(answer.json(), indent=1) + "\n"
    return answer.text


def _checked(file: Path, key: Path | None) -> str:
    from cryptography.exceptions import InvalidSignature

    from dovetail.serve.govern.card.keeper import check_signed
    from dovetail.serve.govern.card.markdown import to_markdown

    if key is None:
        raise UserError("--check needs --key: the public key that the card was signed with.", param="key")
    try:
        return to_markdown(check_signed(json.loads(file.read_text(encoding="utf-8")), key))
    except InvalidSignature as error:
        raise UserError(f"{file} was not signed with the key of {key}, or was changed.", param="check") from error
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise UserError(f"{file} is no signed card: {error}", param="check") from error


def _why(text: str) -> Any:
    try:
        return json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return text[:200]
