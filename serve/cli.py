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
from dovetail.serve.config import ConfigError, ServerConfig, load_config, require_servable
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
def serve(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL_DIR|FILE.gguf]", help="Default: the embedded model.")
    ] = None,
    model_name: Annotated[str | None, typer.Option(help="The name clients use. Default: the directory's.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8000); 0: any free one.")] = None,
    engine: Annotated[str | None, typer.Option(help="native, or vllm for many GPUs (docs/vllm.md).")] = None,
    tensor_parallel_size: Annotated[int | None, typer.Option(help="vLLM: GPUs that share each layer.")] = None,
    pipeline_parallel_size: Annotated[int | None, typer.Option(help="vLLM: groups that share the layers.")] = None,
    data_parallel_size: Annotated[int | None, typer.Option(help="vLLM: copies of the model.")] = None,
    engine_arg: Annotated[
        list[str] | None,
        typer.Option("--engine-arg", help="vLLM: another of its engine arguments, NAME=VALUE; repeatable."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    dtype: Annotated[str | None, typer.Option(help="What is computed in; auto: as the weights are stored.")] = None,
    quantize: Annotated[str | None, typer.Option(help="Store the weights in int8 or int4.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Longest context in tokens; default: the model's.")] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option(help="Longest answer in tokens, whatever a request asks for.")
    ] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Sequences in one batch.")] = None,
    max_waiting: Annotated[int | None, typer.Option(help="Requests that may wait beyond those; then 429.")] = None,
    drain_seconds: Annotated[int | None, typer.Option(help="How long requests may go on after SIGTERM.")] = None,
    max_batched_tokens: Annotated[int | None, typer.Option(help="Tokens in one forward pass.")] = None,
    block_size: Annotated[int | None, typer.Option(help="Tokens per KV block.")] = None,
    max_draft: Annotated[int | None, typer.Option(help="Tokens drafted per sequence and step; 0: no drafts.")] = None,
    kv_cache_memory: Annotated[
        str | None, typer.Option(help="For the KV cache, such as 512MiB; default: a share of what is free.")
    ] = None,
    kv_cache_dtype: Annotated[
        str | None, typer.Option(help="auto: as computed in; fp8: 8 bits, on a CUDA device.")
    ] = None,
    kv_offload_memory: Annotated[
        str | None, typer.Option(help="Host memory for what leaves the KV cache, such as 8GiB; 0: it is dropped.")
    ] = None,
    kv_offload_disk: Annotated[
        Path | None, typer.Option(help="A folder for what leaves that memory, encrypted.")
    ] = None,
    kv_offload_disk_size: Annotated[str | None, typer.Option(help="How much of it, such as 64GiB (8GiB).")] = None,
    deterministic: Annotated[
        bool | None,
        typer.Option("--deterministic", help="A request's tokens do not depend on what shares its batches."),
    ] = None,
    no_graphs: Annotated[
        bool | None, typer.Option("--no-graphs", help="Run every step eagerly on a CUDA device.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.")] = None,
    max_body_bytes: Annotated[str | None, typer.Option(help="Largest request body, such as 8MiB.")] = None,
    any_model_name: Annotated[
        bool | None, typer.Option("--any-model-name", help="Answer whatever model is named.")
    ] = None,
    model_alias: Annotated[
        list[str] | None,
        typer.Option("--model-alias", help="Another name of the model, such as 'claude-*'; repeatable."),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Stored answers: a file, or postgresql://...; else they are kept in memory.")
    ] = None,
    keep_billing_header: Annotated[
        bool | None,
        typer.Option("--keep-billing-header", help="Leave the changing first line of Claude Code's system prompt."),
    ] = None,
    no_carriers: Annotated[
        bool | None,
        typer.Option("--no-carriers", help="Let calls of clients' edit tools quote text that no file has."),
    ] = None,
    docs: Annotated[bool | None, typer.Option("--docs", help="Serve /docs and /openapi.json.")] = None,
    policy: Annotated[Path | None, typer.Option(help="A TOML file that says which edits may be made.")] = None,
    keys: Annotated[
        str | None, typer.Option(help="API keys and usage: a file, or postgresql://...; callers need a key then.")
    ] = None,
    access: Annotated[
        Path | None, typer.Option(help="A TOML file of groups, quotas, identity providers (docs/access.md).")
    ] = None,
    admin: Annotated[str | None, typer.Option(help="Where administrators ask: HOST:PORT or unix:PATH.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="The server's certificate, and its chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Whose client certificates every connection must bring.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option("--cors-origin", help="Web pages that may read answers, such as https://ide.example; repeatable."),
    ] = None,
    acceptable_use: Annotated[
        Path | None, typer.Option(help="A TOML file that says which requests are declined; 'off': none are.")
    ] = None,
    audit: Annotated[Path | None, typer.Option(help="The folder of an audit log (docs/audit.md).")] = None,
    audit_name: Annotated[str | None, typer.Option(help="The name of this server's log in that folder.")] = None,
    audit_anchor: Annotated[Path | None, typer.Option(help="A file outside, with its last hash.")] = None,
    audit_keys: Annotated[Path | None, typer.Option(help="The folder of the keys of its texts.")] = None,
    audit_fsync: Annotated[str | None, typer.Option(help="When records are synced: always, interval or never.")] = None,
    audit_full: Annotated[str | None, typer.Option(help="Where nothing can be written: refuse or count.")] = None,
    audit_text: Annotated[str | None, typer.Option(help="What is kept of prompts and outputs: digest or full.")] = None,
    audit_period: Annotated[str | None, typer.Option(help="How long a segment and its key last: day or month.")] = None,
    audit_retention_days: Annotated[int | None, typer.Option(help="Then a period's key is destroyed.")] = None,
    audit_seal: Annotated[Path | None, typer.Option(help="The key that seals the anchor.")] = None,
    require_signature: Annotated[
        Path | None, typer.Option(help="A public key; a model it has not signed is not served.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="The folder of evaluations and system cards (docs/system-card.md).")
    ] = None,
    card_key: Annotated[Path | None, typer.Option(help="A private key that signs system cards.")] = None,
    embeddings: Annotated[
        str | None, typer.Option(help="Make /v1/embeddings of the model's hidden states: mean or last.")
    ] = None,
    add_model: Annotated[
        list[str] | None,
        typer.Option("--add-model", help="Another model, NAME=DIR; repeatable (docs/several-models.md)."),
    ] = None,
    idle_unload: Annotated[
        int | None, typer.Option(help="Seconds after which an added model that nobody asks is unloaded.")
    ] = None,
    lora: Annotated[
        list[str] | None, typer.Option("--lora", help="A LoRA adapter, NAME=DIR; repeatable (docs/adapters.md).")
    ] = None,
    lora_folder: Annotated[
        Path | None, typer.Option(help="Where adapters lie that administrators may load at run time.")
    ] = None,
    otlp: Annotated[
        str | None, typer.Option(help="Where traces go, by OTLP over HTTP, such as http://127.0.0.1:4318.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text, or json: one object a line.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with these settings.")] = None,
) -> None:
    """Serve a model until it is stopped."""
    flags = {key: value for key, value in locals().items() if key != "config" and value != []}
    settings = load_config(flags, os.environ, config)
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
