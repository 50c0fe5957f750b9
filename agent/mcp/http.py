"""The MCP server over streamable HTTP, on this machine only, for those who have its token. Knows no tool."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dovetail.agent.problems import Problem

TOKEN = "DOVETAIL_MCP_TOKEN"
PATH = "/mcp"
_SHORTEST = 16
_CLOSE_SECONDS = 5


def serve_http(server: MCPServer[Any], address: str, variables: Mapping[str, str] = os.environ) -> None:
    """Serve at ``HOST:PORT`` until interrupted; the address, and a token that was made, are told on standard error."""
    listener = _listen(address)
    try:
        host, port = listener.getsockname()[:2]
        token, made = _token(variables)
        shown = f"[{host}]" if ":" in host else host
        print(f"MCP at http://{shown}:{port}{PATH}", file=sys.stderr)
        if made:
            print(f"The token of this run ({TOKEN} sets one): {token}", file=sys.stderr, flush=True)
        config = uvicorn.Config(
            application(server, token, f"{shown}:{port}"), log_level="warning", timeout_graceful_shutdown=_CLOSE_SECONDS
        )
        uvicorn.Server(config).run([listener])
    finally:
        listener.close()


def application(server: MCPServer[Any], token: str, host: str) -> ASGIApp:
    """The server as ASGI: requests need the token and this ``Host``, and come from no web page."""
    port = host.rpartition(":")[2]
    security = TransportSecuritySettings(allowed_hosts=[host, f"localhost:{port}"], allowed_origins=[])
    inner = server.streamable_http_app(streamable_http_path=PATH, transport_security=security)
    wanted = f"Bearer {token}".encode()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not hmac.compare_digest(_authorization(scope), wanted):
            refusal = PlainTextResponse("a bearer token is needed", 401, {"www-authenticate": "Bearer"})
            await refusal(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return guarded


def _authorization(scope: Scope) -> bytes:
    given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    return given[0] if len(given) == 1 else b""


def _token(variables: Mapping[str, str]) -> tuple[str, bool]:
    """The token, and whether it was made here."""
    given = variables.get(TOKEN, "")
    if not given:
        return secrets.token_urlsafe(32), True
    if len(given) < _SHORTEST or not given.isascii() or not given.isprintable() or " " in given:
        raise Problem(f"{TOKEN} must have at least {_SHORTEST} printable characters without spaces.")
    return given, False


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]").replace("localhost", "127.0.0.1")
    try:
        here = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError as error:
        raise Problem(f"--http takes HOST:PORT, such as 127.0.0.1:8765, not {address!r}.") from error
    if not here or not 0 <= number < 1 << 16:
        raise Problem(
            f"--http {address} is refused: the server has no TLS, and listens on this machine only (127.0.0.1)."
        )
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, number))
    except OSError as error:
        listener.close()
        raise Problem(f"--http {address}: {error.strerror}.") from error
    return listener
