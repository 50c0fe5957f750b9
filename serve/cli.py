"""The ``dovetail`` command: serve, edit, models, demo, and the agent's commands. Wires arguments to the parts; each part is imported when used.

Exit codes: 0 done; 1 not done (declined, or the server refused); 2 wrong usage, unusable file or configuration;
3 no server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dovetail import __version__
from dovetail.agent import cli as agent_cli
from dovetail.agent.problems import FileProblem, Problem, ServerUnreachable
from dovetail.models.check import cli as check_cli
from dovetail.serve.capacity import cli as capacity_cli
from dovetail.serve.config.options import with_settings
from dovetail.serve.config.servable import require_servable
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.config.sources import load_config
from dovetail.serve.doctor import cli as doctor_cli
from dovetail.serve.errors import DovetailError
from dovetail.serve.govern import cli as govern_cli
from dovetail.serve.govern.airgap import cli as bundle_cli
from dovetail.serve.govern.audit import cli as audit_cli
from dovetail.serve.govern.card import cli as card_cli
from dovetail.serve.govern.weights import cli as weights_cli

if TYPE_CHECKING:
    from rich.console import Console

    from dovetail.agent.client import DovetailClient
    from dovetail.serve.server_process import ServerHandle

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")
"""Libraries below that would ask other machines by themselves are told not to; child processes inherit it."""

DEFAULT_SERVER = "http://127.0.0.1:8000"

app = typer.Typer(
    name="dovetail",
    help="A self-hosted inference server for open code models: code edits that fit, by construction.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(agent_cli.app)
app.add_typer(govern_cli.keys_app, name="keys")
app.add_typer(govern_cli.usage_app)
app.add_typer(audit_cli.app, name="audit")
app.add_typer(weights_cli.app)
app.add_typer(card_cli.app)
app.add_typer(capacity_cli.app)
app.add_typer(bundle_cli.app)
app.add_typer(check_cli.app)
app.add_typer(doctor_cli.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dovetail {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    context.obj = _server_for_edits


@app.command()
@with_settings
def serve(
    given: dict[str, Any],
    config: Annotated[Path | None, typer.Option(help="A TOML file with these settings.")] = None,
) -> None:
    """Serve a model until it is stopped."""
    settings = load_config(given, os.environ, config)
    require_servable(settings)
    from dovetail.agent.terminal import loading_bars
    from dovetail.serve.wiring import run_server

    with loading_bars() as on_progress:
        run_server(settings, on_progress)


@app.command()
def edit(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files that may change.")],
    message: Annotated[str, typer.Option("--message", "-m", help="What to change.")],
    server: Annotated[str | None, typer.Option(envvar="DOVETAIL_SERVER", help=f"Default: {DEFAULT_SERVER}.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name, if the server asks for one.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the server's answer; write only with --yes.")] = False,
) -> None:
    """Change files as an instruction says; shows the diff and asks before writing."""
    from dovetail.agent.diff import colour_diff
    from dovetail.agent.files import read_sources, write_source
    from dovetail.agent.terminal import confirmed

    sources = read_sources(files, Path.cwd())
    console = _console(stderr=as_json)
    wire = [{"path": source.label, "content": source.content} for source in sources]
    with _server_for_edits(server, console) as client, console.status("Editing"):
        answer = client.edit(wire, message, model=model, max_tokens=max_tokens)
    if as_json:
        import json

        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif not answer["files"]:
        console.print(_why_nothing(answer))
    else:
        console.print(colour_diff(answer["patch"]))
    changed = {file["path"]: file["content"] for file in answer["files"]}
    if not changed or (as_json and not yes):
        return
    if not yes and not confirmed(f"Write {len(changed)} file{'s' if len(changed) > 1 else ''}?"):
        console.print("Nothing was written.")
        raise typer.Exit(1)
    for source in sources:
        if source.label in changed:
            write_source(source, changed[source.label])
            console.print(f"wrote {source.path}", markup=False, highlight=False)


@app.command()
def models(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="[DIR...]", help="Where to look.")] = None,
    server: Annotated[str | None, typer.Option(help="List what this server serves instead.")] = None,
) -> None:
    """List the embedded model and the model directories found."""
    from rich.table import Table

    console = _console()
    table = Table("model", "what", "size", "where", box=None)
    if server is not None:
        from dovetail.agent.client import DovetailClient

        with DovetailClient(server) as client:
            for entry in client.models():
                table.add_row(entry["id"], f"{entry.get('context_length', '?')} tokens", "", client.url)
    else:
        from dovetail.models.embedded import NAME, WEIGHTS
        from dovetail.serve.catalogue import find_models

        for found in find_models(Path(WEIGHTS), folders or [], os.environ):
            name = NAME if found.path == WEIGHTS else found.name
            table.add_row(name, found.architecture, f"{found.weight_bytes / 2**20:,.0f} MiB", str(found.path))
    console.print(table)


@app.command()
def demo(
    stay: Annotated[bool, typer.Option("--stay", help="Listen on 127.0.0.1:8000 and go on serving.")] = False,
    port: Annotated[int | None, typer.Option(help="Another port.")] = None,
    agent: Annotated[
        bool, typer.Option("--agent", help="Let the agent do a task over three files instead, then stop.")
    ] = False,
) -> None:
    """Start a server, land one edit on an example, and show how it came to be."""
    if agent:
        _demo_of_agent()
    from dovetail.agent.client import DovetailClient
    from dovetail.agent.demo import read_demo, show, show_how_to_try

    example = read_demo()
    flags = {"port": port} if port is not None or stay else {"port": 0}
    settings = load_config({**flags, "log_level": "info" if stay else "warning"}, os.environ)
    console = _console()
    with _own_server(settings) as handle:
        with DovetailClient(handle.url) as client:
            files = [{"path": example.path, "content": example.content}]
            show(console, example, client.edit(files, example.instruction, trace=True))
            model = client.models()[0]["id"]
        show_how_to_try(console, handle.url if stay else DEFAULT_SERVER, model)
        if stay:
            console.print(f"Serving {model} on [bold]{handle.url}[/]; Ctrl-C stops it.")
            with suppress(KeyboardInterrupt):
                handle.wait()
            console.print("stopped")
        else:
            console.print("Start a server of your own with [bold]make run[/] or [bold]dovetail serve[/].")


def _demo_of_agent() -> NoReturn:
    from dovetail.agent.client import DovetailClient
    from dovetail.agent.loop.demo import demonstrate

    settings = load_config({"port": 0, "log_level": "warning"}, os.environ)
    with _own_server(settings) as handle, DovetailClient(handle.url) as client:
        raise typer.Exit(demonstrate(client, _console()))


@contextmanager
def _server_for_edits(url: str | None, console: Console) -> Iterator[DovetailClient]:
    """A client of the named server; of the usual one if it answers; else of one started for this call."""
    from dovetail.agent.client import DovetailClient

    if url is not None:
        with DovetailClient(url) as client:
            yield client
        return
    with DovetailClient(DEFAULT_SERVER) as client:
        if client.is_ready():
            yield client
            return
    console.print(f"No server at {DEFAULT_SERVER}: starting one.", style="dim")
    settings = load_config({"port": 0, "log_level": "warning"}, os.environ)
    with _own_server(settings) as handle, DovetailClient(handle.url) as client:
        yield client


@contextmanager
def _own_server(settings: ServerConfig) -> Iterator[ServerHandle]:
    """A server in a process of its own, which never outlives this one, and speaks plain HTTP with it."""
    import dataclasses
    import signal

    from dovetail.serve.server_process import start_server_process

    settings = dataclasses.replace(settings, tls_cert=None, tls_key=None, tls_client_ca=None, admin=None)
    require_servable(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    handle = start_server_process(settings, _silent)
    try:
        yield handle
    finally:
        handle.stop()


def _silent(share: float, stage: str) -> None:
    """The progress of a server in a process of its own, which draws its bars itself."""


def _why_nothing(answer: dict[str, Any]) -> str:
    if answer["constraint"]["truncated"]:
        return "Nothing changed: the answer ended inside an edit, which was dropped. Try a higher --max-tokens."
    if answer["constraint"]["rollbacks"]:
        return "Nothing changed: no edit that the model wanted would have left the files parsing."
    return "The model left the files as they are."


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def main() -> None:
    """The console script."""
    for variable in _OFFLINE:
        os.environ.setdefault(variable, "1")
    try:
        app()
    except (ConfigError, FileProblem) as error:
        sys.exit(_fail(str(error), 2))
    except ServerUnreachable as error:
        sys.exit(_fail(f"{error} Start one with: dovetail serve", 3))
    except (Problem, DovetailError) as error:
        sys.exit(_fail(str(error), 1))


def _fail(message: str, code: int) -> int:
    typer.echo(f"dovetail: {message}", err=True)
    return code


if __name__ == "__main__":
    main()
