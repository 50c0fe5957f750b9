"""How the server listens: sockets, connections with TLS and time limits, the drain at the end. Knows no endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import ssl
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dovetail.serve.api.access.guard import CLIENT_NAME
from dovetail.serve.api.context import Load
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import EngineError

HEAD_SECONDS = 20.0
"""A connection whose next request has not begun to be answered by then is closed: sockets are not to be sat on."""
HEAD_BYTES = 64 * 1024
"""A request's first line and headers together."""
UNIX = "unix:"
_CLOSE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises EngineError when the port is taken."""
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


def listen_for_admin(address: str) -> socket.socket:
    """A socket at ``HOST:PORT``, or at ``unix:PATH``, which only this user may open. Raises EngineError."""
    if not address.startswith(UNIX):
        host, _, port = address.rpartition(":")
        return listen(host.strip("[]"), int(port))
    path = Path(address.removeprefix(UNIX))
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # of a server that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise EngineError(f"cannot listen on {path}: {error.strerror}; choose another with --admin") from error
    finally:
        os.umask(before)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except socket.gaierror:
        return False
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def uvicorn_config(app: ASGIApp, config: ServerConfig, *, encrypted: bool = True) -> uvicorn.Config:
    """How uvicorn runs ``app``. Raises ConfigError where certificate or key cannot be used."""
    tls: dict[str, Any] = {}
    if encrypted and config.tls_cert is not None and config.tls_key is not None:
        tls = {"ssl_certfile": str(config.tls_cert), "ssl_keyfile": str(config.tls_key)}
        if config.tls_client_ca is not None:
            tls |= {"ssl_ca_certs": str(config.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    settings = uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=_CLOSE_SECONDS,
        server_header=False,
        **tls,
    )
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"TLS cannot be set up: {error}; look at --tls-cert, --tls-key, --tls-client-ca.") from error
    return settings


class Connection(HttpToolsProtocol):
    """A connection that is closed when no request comes, that takes no endless head, and that knows whom its client's certificate
    names."""

    _deadline: asyncio.TimerHandle | None = None
    _unread = 0
    """Bytes since the last of them that became part of a request: those of a head, until it is complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert")
        if certificate:
            self.app_state = {**self.app_state, CLIENT_NAME: common_name(certificate)}
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's first line and headers are too large.")
        self._watch()

    def on_headers_complete(self) -> None:
        """The head is there. A protocol that it would change to is not spoken here, and nothing behind such a request is read."""
        self._unread = 0
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """More of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._unread = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._late)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def common_name(certificate: Mapping[str, Any]) -> str | None:
    """The common name of a certificate's subject, as the ssl module tells certificates."""
    subject: Sequence[Sequence[tuple[str, str]]] = certificate.get("subject", ())
    return next((value for part in subject for name, value in part if name == "commonName"), None)


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


class SideServer(uvicorn.Server):
    """uvicorn beside another server, which hears the signals for both."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield
