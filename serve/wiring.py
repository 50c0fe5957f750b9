"""The API process: wires a model directory, an engine process and the HTTP application together, and serves.

One of the two places that may import everything (the other is worker.py, for the engine process). torch is never imported
here: the API process stays small and starts at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog
from fastapi import APIRouter

from dovetail.serve.api.access.admin import Admit, create_admin_app
from dovetail.serve.api.adapters import routes
from dovetail.serve.api.app import create_app
from dovetail.serve.api.console import endpoints as console
from dovetail.serve.api.console import pages
from dovetail.serve.api.hosted import Hosted
from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.api.http.tracing import NoTracing, Traces, open_traces
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.card import Placed, card_keeper
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.constrain.grammar.checks import CheckProcesses
from dovetail.serve.edit.landing.process import LandingProcesses
from dovetail.serve.engine.on_demand import OnDemandEngine
from dovetail.serve.engine.process.client import EngineProcess
from dovetail.serve.govern.governance import Governance
from dovetail.serve.governed import (
    audited,
    checked_weights,
    server_conduct,
    server_governance,
    server_policy,
    weights_digest,
)
from dovetail.serve.hosting import (
    adapters_of,
    engine_command,
    in_directories,
    model_configs,
    model_path,
    name_of,
    served_model,
    worker_configs,
)
from dovetail.serve.listening import UNIX, HttpServer, SideServer, listen, listen_for_admin, uvicorn_config
from dovetail.serve.logs import configure_logging

Progress = Callable[[float, str], None]


def server_traces(config: ServerConfig) -> Traces | None:
    """What sends traces to the configured collector; None: nobody wants any. Raises ConfigError."""
    if config.otlp is None:
        return None
    try:
        return open_traces(config.otlp)
    except NoTracing as error:
        raise ConfigError(str(error), param="otlp") from error


def run_server(config: ServerConfig, on_progress: Progress, *, engine: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Raises ModelError when the model cannot be served, EngineError when the port is taken.

    ``engine``: the command of another engine process than our own.
    """
    configure_logging(config.log_level, config.log_format)
    governance = server_governance(config)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(listen(config.host, config.port)))
        admin = None
        if config.admin is not None:
            admin = stack.enter_context(contextlib.closing(listen_for_admin(config.admin)))
        configs = in_directories(model_configs(config), stack)
        asyncio.run(_serve(configs, governance, (listener, admin), on_progress, engine))


async def _serve(
    configs: Sequence[ServerConfig],
    governance: Governance,
    listeners: tuple[socket.socket, socket.socket | None],
    on_progress: Progress,
    command: Sequence[str] | None,
) -> None:
    listener, admin_listener = listeners
    config = configs[0]
    policy = server_policy(config)
    conduct = server_conduct(config)
    adapters = adapters_of(config, [name_of(each) for each in configs])
    digests = [await asyncio.to_thread(checked_weights, each) for each in configs]
    for path in (path for each in adapters.values() for path in each.values()):
        await asyncio.to_thread(checked_weights, dataclasses.replace(config, model=path))
    workers = worker_configs(configs)
    models = [served_model(each, worker) for each, worker in zip(configs, workers, strict=True)]
    weights = digests[0] if len(digests) == 1 or digests[0] is None else ",".join(str(digest) for digest in digests)
    governance = await asyncio.to_thread(audited, config, governance, weights, policy)
    engine = EngineProcess(
        command if command is not None else engine_command(workers[0]),
        on_progress,
        adapters=adapters[models[0].name],
        own_group=config.engine == "vllm",
    )
    added = [
        _added_engine(engine_command(worker), config.idle_unload, model.name, adapters[model.name], on_progress)
        for worker, model in zip(workers[1:], models[1:], strict=True)
    ]
    served = models[0]
    beside = [Hosted(model, each) for model, each in zip(models[1:], added, strict=True)]
    settings = ApiSettings(
        max_body_bytes=config.max_body_bytes,
        max_in_flight=config.max_num_seqs + config.max_waiting,
        max_output_tokens=config.max_output_tokens,
        # At least half of what runs side by side is left to live requests, where there is more than one place.
        batch_concurrency=max(1, min(ApiSettings.batch_concurrency, config.max_num_seqs // 2)),
        any_model_name=config.any_model_name,
        model_aliases=config.model_alias,
        store=config.store,
        drop_billing_header=not config.keep_billing_header,
        carriers=not config.no_carriers,
        docs=config.docs,
        policy=policy,
        cors_origins=config.cors_origin,
        conduct=conduct,
        lora_folder=config.lora_folder,
        require_signature=config.require_signature,
    )
    check = CheckProcesses()
    landings = LandingProcesses()
    running = zip(configs, models, (engine, *added), workers, digests, strict=True)
    card = card_keeper(
        [
            Placed(each, model, own, path := model_path(each), worker.device, digest, partial(weights_digest, path))
            for each, model, own, worker, digest in running
        ],
        policy,
    )
    app = create_app(
        engine, served, settings, check=check, governance=governance, landings=landings, card=card, beside=beside
    )
    traces = server_traces(config)
    app.state.context.metrics.recent.trace = traces
    for hosted in tuple(app.state.models):
        for name in adapters[hosted.served.name]:
            app.state.models.add_adapter(name, hosted, adapters[hosted.served.name][name])
    server = HttpServer(uvicorn_config(app, config), app.state.load, config.drain_seconds)
    more = (
        partial(routes, app.state.models, settings),
        partial(console.routes, app.state.context),
        lambda _: pages.routes(),
    )
    admin = _admin_server(config, governance, app.state.context.metrics, more)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    administering = None
    if admin_listener is not None:
        administering = asyncio.create_task(admin.serve(sockets=[admin_listener]), name="admin")
    starting = asyncio.create_task(_start_all([engine, *added]), name="engine start")
    try:
        await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            app.state.batches.resume()
            host, port = listener.getsockname()[:2]
            scheme = "https" if config.tls_cert is not None else "http"
            structlog.get_logger("dovetail").info(
                "serving",
                model=", ".join(model.name for model in models),
                url=f"{scheme}://{host}:{port}",
                max_model_len=served.max_model_len,
                weights=engine.info.dtype,
                kernels=engine.info.kernels,
            )
        await serving
    finally:
        server.should_exit = admin.should_exit = True
        await asyncio.wait({serving} if administering is None else {serving, administering})
        if not starting.done():
            starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await app.state.batches.close()
        for each in (engine, *added):
            await each.close()
        await check.close()
        landings.close()
        await governance.close()
        await asyncio.to_thread(app.state.records.close)
        if traces is not None:
            await asyncio.to_thread(traces.close)
        if conduct is not None:
            await conduct.close()


def _added_engine(
    command: list[str], idle_s: int | None, name: str, adapters: Mapping[str, Path], on_progress: Progress
) -> EngineProcess | OnDemandEngine:
    """The engine of a model beside the first one; with ``idle_s`` it ends while nobody asks."""

    def make() -> EngineProcess:
        return EngineProcess(command, lambda share, stage: on_progress(share, f"{name}: {stage}"), adapters=adapters)

    return make() if idle_s is None else OnDemandEngine(make, idle_s)


async def _start_all(engines: Sequence[EngineProcess | OnDemandEngine]) -> None:
    """One after the other, so that their loading needs no more memory than they do."""
    for engine in engines:
        await engine.start()


def _admin_server(
    config: ServerConfig, governance: Governance, metrics: Metrics, more: Sequence[Callable[[Admit], APIRouter]]
) -> SideServer:
    """The administrators' server: beyond a socket of the file system, which says itself who may open it, with TLS like the other."""
    trusted = config.admin is not None and config.admin.startswith(UNIX)
    app = create_admin_app(governance, metrics, trusted=trusted, more=more)
    return SideServer(uvicorn_config(app, config, encrypted=not trusted))
