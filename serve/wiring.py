"""The API process: wires a model directory, an engine process and the HTTP application together, and serves.

One of the two places that may import everything (the other is worker.py, for the engine process). torch is never imported
here: the API process stays small and starts at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import structlog
import uvicorn

from dovetail.models.chat import ChatTemplate
from dovetail.models.config import ModelConfig
from dovetail.models.dialects.dialect import ModelDialect
from dovetail.models.edit_prompt import EditTemplate
from dovetail.models.embedded import NAME, WEIGHTS
from dovetail.models.errors import ChatTemplateError, ModelDirectoryError
from dovetail.models.fim import FillInMiddle
from dovetail.models.generation import GenerationDefaults
from dovetail.models.headers import stored_weights
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.app import create_app
from dovetail.serve.api.context import Load
from dovetail.serve.api.served import ChatMessage, OfferedTool, SamplingDefaults, ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.config import ConfigError, ServerConfig
from dovetail.serve.constrain.grammar.checks import CheckProcesses
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import PolicyError, read_policy
from dovetail.serve.engine.process.client import EngineProcess
from dovetail.serve.errors import EngineError, ModelError, UserError
from dovetail.serve.sizing import plan_sizes
from dovetail.serve.types import Markers, SourceFile
from dovetail.serve.worker import WorkerConfig

Progress = Callable[[float, str], None]
_START_TIMEOUT_S = 600.0
_CLOSE_S = 5
_STOP_S = 45.0


def model_path(config: ServerConfig) -> Path:
    """The model directory to serve: the configured one or the embedded model."""
    return config.model if config.model is not None else WEIGHTS


def served_model(config: ServerConfig, worker: WorkerConfig) -> ServedModel:
    """The text side of the model: tokenizer and templates, without weights. Raises ModelError."""
    path = model_path(config)
    try:
        tokenizer = Tokenizer.load(path)
        chat = ChatTemplate.load(path, tokenizer)
        edit = EditTemplate.load(path, tokenizer)
        dialect = ModelDialect(tokenizer, chat) if chat is not None else None
        defaults = GenerationDefaults.load(path)
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error

    def render_chat(
        messages: list[ChatMessage], tools: Sequence[OfferedTool] = (), effort: str | None = None
    ) -> list[int]:
        assert dialect is not None
        try:
            return dialect.prompt(messages, tools, effort)
        except ChatTemplateError as error:
            raise UserError(f"the model's chat template refused the messages: {error}", param="messages") from error

    def render_edit(files: tuple[SourceFile, ...], instruction: str, markers: Markers) -> list[int]:
        assert edit is not None
        sources = [{"path": source.path, "content": source.content} for source in files]
        return tokenizer.encode_rendered(edit.render(sources, instruction, msgspec.structs.asdict(markers)))

    return ServedModel(
        name=config.model_name or (NAME if config.model is None else path.resolve().name),
        created=int((path / "config.json").stat().st_mtime),
        max_model_len=worker.max_model_len,
        codec=tokenizer,
        render_chat=render_chat if chat is not None else None,
        dialect=dialect,
        render_edit=render_edit if edit is not None else None,
        fim=FillInMiddle.find(tokenizer),
        defaults=msgspec.convert(defaults.given(), SamplingDefaults),
    )


def worker_config(config: ServerConfig) -> WorkerConfig:
    """What the engine process is told, every size derived. Raises ModelError."""
    path = model_path(config)
    try:
        model = ModelConfig.load(path)
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    sizes = plan_sizes(config, model, stored_weights(path))
    return WorkerConfig(
        model=str(path),
        dtype=config.dtype,
        quantize=config.quantize,
        device=sizes.device,
        threads=config.threads,
        max_model_len=sizes.max_model_len,
        kv_blocks=sizes.kv_blocks,
        block_size=config.block_size,
        max_num_seqs=config.max_num_seqs,
        max_batched_tokens=config.max_batched_tokens,
        max_draft=config.max_draft,
        debug=config.log_level == "debug",
    )


def server_policy(config: ServerConfig) -> Policy | None:
    """The policy in the configured file, its digest logged. Raises ConfigError when it cannot be used."""
    if config.policy is None:
        return None
    try:
        policy = Policy((read_policy(config.policy),))
    except PolicyError as error:
        raise ConfigError(f"{config.policy}: {error.message}", param="policy") from error
    structlog.get_logger("dovetail").info("policy", file=str(config.policy), digest=policy.digest)
    return policy


def engine_command(worker: WorkerConfig) -> list[str]:
    """The command line of the engine process, less the socket address that is added to it."""
    return [sys.executable, "-m", "dovetail.serve.worker", msgspec.json.encode(worker).decode()]


def run_server(config: ServerConfig, on_progress: Progress, *, engine: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Raises ModelError when the model cannot be served, EngineError when the port is taken.

    ``engine``: the command of another engine process than our own.
    """
    _configure_logging(config.log_level)
    listener = _listen(config.host, config.port)
    with contextlib.closing(listener):
        asyncio.run(_serve(config, listener, on_progress, engine))


class HttpServer(uvicorn.Server):
    """uvicorn, with a drain: asked to end, it refuses new work, lets requests finish for a while, and ends with status 0.

    ``load`` is the application's count of what is in flight.
    """

    def __init__(self, config: uvicorn.Config, load: Load, drain_seconds: float) -> None:
        super().__init__(config)
        self._load = load
        self._drain_seconds = drain_seconds
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM drains, a second one ends at once. (uvicorn would raise the signal again.)"""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for each in signals:
            loop.add_signal_handler(each, self._end)
        # They stay: a second signal must not cut off the clean-up that follows.
        yield

    def _end(self) -> None:
        if self._draining is None:
            self._load.draining = True
            self._draining = asyncio.create_task(self._drain(), name="drain")
        else:
            self.should_exit = self.force_exit = True

    async def _drain(self) -> None:
        deadline = time.monotonic() + self._drain_seconds
        while self._load.running and time.monotonic() < deadline:  # noqa: ASYNC110 (a count, not an event)
            await asyncio.sleep(0.05)
        self.should_exit = True


async def _serve(
    config: ServerConfig, listener: socket.socket, on_progress: Progress, command: Sequence[str] | None
) -> None:
    policy = server_policy(config)
    worker = worker_config(config)
    served = served_model(config, worker)
    engine = EngineProcess(command if command is not None else engine_command(worker), on_progress)
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
    )
    check = CheckProcesses()
    app = create_app(engine, served, settings, check=check)
    http = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=_CLOSE_S,
        server_header=False,
    )
    server = HttpServer(http, app.state.load, config.drain_seconds)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    starting = asyncio.create_task(engine.start(), name="engine start")
    try:
        await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            app.state.batches.resume()
            host, port = listener.getsockname()[:2]
            structlog.get_logger("dovetail").info(
                "serving",
                model=served.name,
                url=f"http://{host}:{port}",
                max_model_len=served.max_model_len,
                weights=engine.info.dtype,
                kernels=engine.info.kernels,
            )
        await serving
    finally:
        server.should_exit = True
        await asyncio.wait({serving})
        if not starting.done():
            starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await app.state.batches.close()
        await engine.close()
        await check.close()


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
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without, every stream stalls for 40 ms at its start.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise EngineError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener


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
