"""The API process: wires a model directory, an engine process and the HTTP application together, and serves.

One of the two places that may import everything (the other is worker.py, for the engine process). torch is never imported
here: the API process stays small and starts at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import msgspec
import structlog
from fastapi import APIRouter

from dovetail import __version__
from dovetail.models.gguf.describe import gguf_of
from dovetail.serve.api.access.admin import Admit, create_admin_app
from dovetail.serve.api.adapters import routes
from dovetail.serve.api.app import create_app
from dovetail.serve.api.console import endpoints as console
from dovetail.serve.api.console import pages
from dovetail.serve.api.hosted import Hosted
from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.api.http.tracing import NoTracing, Traces, open_traces
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.card import card_keeper
from dovetail.serve.config import ENVIRONMENT_PREFIX, KEYS, ConfigError, ServerConfig
from dovetail.serve.constrain.grammar.checks import CheckProcesses
from dovetail.serve.edit.landing.process import LandingProcesses
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import PolicyError, read_policy
from dovetail.serve.engine.on_demand import OnDemandEngine
from dovetail.serve.engine.process.client import EngineProcess
from dovetail.serve.errors import EngineError, ModelError
from dovetail.serve.govern.audit.log import AuditLog, AuditUnavailable
from dovetail.serve.govern.audit.settings import audit_settings
from dovetail.serve.govern.declines.conduct import Conduct
from dovetail.serve.govern.declines.document import BUILT_IN, AcceptableUseError, read_acceptable_use
from dovetail.serve.govern.findings.rules import policy_rules
from dovetail.serve.govern.findings.scan import prepare
from dovetail.serve.govern.governance import Governance, open_governance
from dovetail.serve.govern.weights.files import WeightsProblem, digest_of, digest_of_file, digests_of, require_as_listed
from dovetail.serve.govern.weights.signature import require_signed
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
from dovetail.serve.listening import UNIX, HttpServer, SideServer, is_loopback, listen, listen_for_admin, uvicorn_config

Progress = Callable[[float, str], None]
_START_TIMEOUT_S = 600.0
_STOP_S = 45.0
_AUDIT_START_S = 10.0


def server_policy(config: ServerConfig) -> Policy | None:
    """The policy in the configured file, its digest logged. Raises ConfigError when it cannot be used."""
    if config.policy is None:
        return None
    try:
        policy = Policy((read_policy(config.policy),))
    except PolicyError as error:
        raise ConfigError(f"{config.policy}: {error.message}", param="policy") from error
    prepare(policy_rules(policy))
    structlog.get_logger("dovetail").info("policy", file=str(config.policy), digest=policy.digest)
    return policy


def server_traces(config: ServerConfig) -> Traces | None:
    """What sends traces to the configured collector; None: nobody wants any. Raises ConfigError."""
    if config.otlp is None:
        return None
    try:
        return open_traces(config.otlp)
    except NoTracing as error:
        raise ConfigError(str(error), param="otlp") from error


def server_conduct(config: ServerConfig) -> Conduct | None:
    """What judges requests by the configured acceptable use policy; None: nothing. Raises ConfigError when it cannot be used."""
    if config.acceptable_use == Path("off"):
        return None
    try:
        return Conduct(read_acceptable_use(config.acceptable_use or BUILT_IN))
    except AcceptableUseError as error:
        raise ConfigError(error.message, param="acceptable_use") from error


def run_server(config: ServerConfig, on_progress: Progress, *, engine: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Raises ModelError when the model cannot be served, EngineError when the port is taken.

    ``engine``: the command of another engine process than our own.
    """
    _configure_logging(config.log_level)
    governance = server_governance(config)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(listen(config.host, config.port)))
        admin = None
        if config.admin is not None:
            admin = stack.enter_context(contextlib.closing(listen_for_admin(config.admin)))
        configs = in_directories(model_configs(config), stack)
        asyncio.run(_serve(configs, governance, (listener, admin), on_progress, engine))


def server_governance(config: ServerConfig) -> Governance:
    """Who may do what on this server. Raises ConfigError and StoreError where it cannot be used, or lets in the whole network."""
    governance = open_governance(config.keys, config.access, certificates=config.tls_client_ca is not None)
    if governance.access.is_open:
        if not is_loopback(config.host):
            raise ConfigError(
                f"{config.host} can be reached from other machines, so callers need keys: make one with "
                "'dovetail keys create NAME --keys FILE', and serve with --keys FILE (docs/access.md).",
                param="keys",
            )
        if config.admin is not None and not config.admin.startswith(UNIX):
            raise ConfigError(
                "Administrators need keys on a port: serve with --keys FILE, or use --admin unix:PATH.", param="admin"
            )
    return governance


def checked_weights(config: ServerConfig) -> str | None:
    """The digest of the model's files, where it is asked for: they are read whole. Raises ModelError unless they are what was
    signed, and what the embedded model's manifest says."""
    path = model_path(config)
    try:
        if config.require_signature is None and config.audit is None and config.model is not None:
            return None
        gguf = gguf_of(path)
        if gguf is not None:
            if config.require_signature is not None:
                raise WeightsProblem(f"{gguf}: GGUF files carry no signature; serve the signed model directory")
            return digest_of_file(gguf)
        files = digests_of(path)
        if config.model is None:
            require_as_listed(path, files)
        if config.require_signature is not None:
            require_signed(path, files, config.require_signature)
        return digest_of(files)
    except WeightsProblem as error:
        raise ModelError(str(error)) from error


def audited(config: ServerConfig, governance: Governance, weights: str | None, policy: Policy | None) -> Governance:
    """``governance`` with the configured audit log, its first record written. Raises ConfigError."""
    settings = audit_settings(config)
    if settings is None:
        return governance
    told = {key: str(value) for key, value in dataclasses.asdict(config).items() if value is not None}
    digest = hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()
    log = AuditLog(settings, {"model": weights, "policy": policy.digest if policy is not None else None})
    if not log.left_in_order:
        structlog.get_logger("dovetail").warning("the audit log was not closed: the server before this one was killed")
    start = {**log.constants, "version": __version__, "config": digest, "after_crash": not log.left_in_order}
    written = log.record("start", {**start, "pid": os.getpid(), "host": config.host, "port": config.port})
    try:
        written.result(_AUDIT_START_S)
    except (AuditUnavailable, TimeoutError) as error:
        log.close()
        raise ConfigError(f"The audit log cannot be written: {log.counts.failing}.", param="audit") from error
    return dataclasses.replace(governance, audit=log)


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
        command if command is not None else engine_command(workers[0]), on_progress, adapters=adapters[models[0].name]
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
    card = card_keeper(
        config,
        served,
        engine,
        directory=model_path(config),
        weights=digests[0],
        policy=policy,
        device=workers[0].device,
    )
    app = create_app(
        engine, served, settings, check=check, governance=governance, landings=landings, card=card, beside=beside
    )
    traces = server_traces(config)
    app.state.context.metrics.recent.trace = traces
    for hosted in tuple(app.state.models):
        for name in adapters[hosted.served.name]:
            app.state.models.add_adapter(name, hosted)
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


@dataclass(frozen=True)
class ServerHandle:
    """A server that runs in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        """Block until the server ends; returns its exit status."""
        return self.process.wait()

    def stop(self) -> None:
        """End the server and everything it started."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start_server_process(config: ServerConfig, on_progress: Progress) -> ServerHandle:
    """Start ``dovetail serve`` as a child and wait until it is ready. Raises EngineError with its output when it is not."""
    port = config.port or _free_port(config.host)
    command: Sequence[str] = [sys.executable, "-m", "dovetail.serve.cli", "serve", *_flags(config, port)]
    # All settings are told as flags: what the environment says has been read already, and may have been overruled.
    ours = {"DOVETAIL_CONFIG", *(f"{ENVIRONMENT_PREFIX}{key.upper()}" for key in KEYS)}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    url = f"http://{config.host}:{port}"
    handle = ServerHandle(url, process)
    deadline = time.monotonic() + _START_TIMEOUT_S
    on_progress(0.0, "starting the server")
    ready = False
    try:
        with httpx.Client(timeout=2, trust_env=False) as client:
            while not ready and time.monotonic() < deadline:
                if process.poll() is not None:
                    status = process.returncode
                    raise EngineError(f"the server ended with status {status} while starting; its message is above")
                with contextlib.suppress(httpx.TransportError):
                    ready = client.get(f"{url}/ready").status_code == 200
                time.sleep(0.05)
    finally:
        if not ready:
            handle.stop()
    if not ready:
        raise EngineError(f"the server was not ready within {_START_TIMEOUT_S:.0f} s")
    on_progress(1.0, "ready")
    return handle


def _flags(config: ServerConfig, port: int) -> list[str]:
    flags = [str(config.model)] if config.model is not None else []
    values = {**dataclasses.asdict(config), "port": port}
    for key, value in values.items():
        if key == "model" or value is None or value is False:
            continue
        flag = f"--{key.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        else:
            flags += [part for each in (value if isinstance(value, tuple) else (value,)) for part in (flag, str(each))]
    return flags


def _free_port(host: str) -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _configure_logging(level: str) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ),
        ],
    )
