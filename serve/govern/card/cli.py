"""``dovetail card``: fetches a server's system card, and checks signed ones."""

from __future__ import annotations

import binascii
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dovetail.serve.errors import EngineError, UserError

app = typer.Typer()


@app.command()
def card(
    server: Annotated[str, typer.Option(envvar="DOVETAIL_SERVER", help="Whose card.")] = "http://127.0.0.1:8000",
    form: Annotated[str, typer.Option("--format", help="markdown, json, html, cyclonedx or dsse.")] = "markdown",
    name: Annotated[str | None, typer.Option(help="An earlier one: its id, or a system_fingerprint.")] = None,
    out: Annotated[Path | None, typer.Option(help="A file to write it to.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check a signed card in this file instead of fetching one.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The public key, for --check.")] = None,
) -> None:
    """Show the system card of a running server: what it is, what was measured, what is guaranteed, what is not known."""
    text = _checked(check, key) if check is not None else _fetched(server, form, name)
    if out is not None:
        out.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {out}")
    else:
        typer.echo(text, nl=not text.endswith("\n"))


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
