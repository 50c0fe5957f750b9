"""Connections: TLS, client certificates made here, and clients that sit on sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from dovetail.serve import listening
from dovetail.serve.api.access.guard import PRINCIPAL, Guard
from dovetail.serve.api.http.failures import Answers
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile, Certificates, Group
from dovetail.serve.govern.governance import Governance
from dovetail.serve.listening import SideServer, is_loopback, listen, listen_for_admin, uvicorn_config


@dataclass
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self._signed(self._subject, self._key.public_key(), basic)
        self.path = self._write("ca", self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate of this name, good on this machine, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key.public_key(), x509.BasicConstraints(ca=False, path_length=None))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return (
            self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write(f"{name}.key", pem),
        )

    def _signed(self, subject: x509.Name, key: Any, basic: x509.BasicConstraints) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signing = x509.KeyUsage(True, False, False, False, False, basic.ca, basic.ca, False, False)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(basic, critical=True)
            .add_extension(signing, critical=True)
            .add_extension(here, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / f"{self.name}-{name}"
        path.write_bytes(data)
        return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def app(governance: Governance) -> Any:
    """Says who is calling, behind the guard."""

    async def who(request: Any) -> JSONResponse:
        body = await request.body()
        return JSONResponse({"who": request.scope[PRINCIPAL].id, "bytes": len(body)})

    inner = Starlette()
    inner.add_route("/who", who, methods=["GET", "POST"])
    return Guard(inner, governance, Answers(1).to)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(config: ServerConfig, governance: Governance) -> int:
            listener = listen("127.0.0.1", 0)
            server = SideServer(uvicorn_config(app(governance), config))
            task = asyncio.create_task(server.serve(sockets=[listener]))

            async def stop() -> None:
                server.should_exit = True
                await task
                listener.close()

            stack.push_async_callback(stop)
            return int(listener.getsockname()[1])

        yield start


def client(authority: Authority, port: int, own: tuple[Path, Path] | None = None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=str(authority.path))
    if own is not None:
        context.load_cert_chain(*own)
    return httpx.AsyncClient(verify=context, base_url=f"https://127.0.0.1:{port}", timeout=30)


async def test_tls(serve: Any, authority: Authority) -> None:
    certificate, key = authority.issue("server")
    port = await serve(ServerConfig(tls_cert=certificate, tls_key=key), Governance())
    async with client(authority, port) as good:
        assert (await good.get("/who")).json()["who"] == "anonymous"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as plain:
        with pytest.raises(httpx.HTTPError):
            await plain.get("/who")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(authority.path)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=old)


async def test_client_certificates_become_principals(serve: Any, authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("server")
    config = ServerConfig(tls_cert=certificate, tls_key=key, tls_client_ca=authority.path)
    file = AccessFile(groups={"ci": Group()}, certificates=Certificates(groups={"ci-*": "ci"}))
    port = await serve(config, Governance(Access.of(file, None, certificates=True)))
    async with client(authority, port, authority.issue("ci-1")) as known:
        assert (await known.get("/who")).json()["who"] == "certificate:ci-1"
        assert (await known.get("/who", headers={"x-api-key": "dvt_a_b"})).status_code == 401
        forged = {"dovetail.client_name": "ci-9", "x-client-name": "ci-9"}
        assert (await known.get("/who", headers=forged)).json()["who"] == "certificate:ci-1"
    async with client(authority, port, authority.issue("stranger")) as other:
        assert (await other.get("/who")).status_code == 401
    for own in (None, Authority(tmp_path, "theirs").issue("ci-1")):
        async with client(authority, port, own) as refused:
            with pytest.raises(httpx.HTTPError):
                await refused.get("/who")


def test_certificates_that_cannot_be_used(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("server")
    _, other = authority.issue("other")
    for config in (
        ServerConfig(tls_cert=tmp_path / "none", tls_key=key),
        ServerConfig(tls_cert=certificate, tls_key=other),
        ServerConfig(tls_cert=certificate, tls_key=key, tls_client_ca=key),
    ):
        with pytest.raises(ConfigError, match="TLS cannot be set up"):
            uvicorn_config(app(Governance()), config)


async def test_sockets_are_not_to_be_sat_on(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.2)
    port = await serve(ServerConfig(), Governance())
    for begun in (b"", b"GET /who HTTP/1.1\r\nhost: x\r\nx-slow: ", b"GET /who HTTP/1.1\r\nhost: x\r\n\r\nGET /w"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        # A client that drips does not keep its connection by it.
        for _ in range(3):
            await asyncio.sleep(0.02)
            writer.write(b"a")
        async with asyncio.timeout(60):
            answer = await reader.read(-1)
        assert (b"200 OK" in answer) == begun.endswith(b"/w")
        writer.close()


async def test_a_refused_client_that_sends_much_hears_why(serve: Any) -> None:
    governance = Governance(Access(certificates=Certificates()))
    port = await serve(ServerConfig(), governance)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for _ in range(3):
            answer = await client.post("/who", content=b"x" * 2_000_000, headers={"x-api-key": "wrong"})
            assert answer.status_code == 401


async def test_a_head_that_is_too_large(serve: Any) -> None:
    port = await serve(ServerConfig(), Governance())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        assert (await client.get("/who", headers={"x-large": "x" * 60_000})).status_code == 200
        with contextlib.suppress(httpx.HTTPError):
            assert (await client.get("/who", headers={"x-large": "x" * 2_000_000})).status_code == 400


async def answered(port: int, *pieces: bytes) -> bytes:
    """All that a connection answers to bytes that come piece by piece."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(60):
            while piece := await reader.read(65536):
                answer += piece
    writer.close()
    return answer


CHUNKED = b"POST /who HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /" + b"x" * 9_000] * 12,
        [b"GET /who HTTP/1.1\r\n", *([b"x-a: " + b"b" * 9_000 + b"\r\n"] * 12)],
        [b"\r\n" * 9_000] * 12,
        [CHUNKED, b"5;", *([b"x" * 9_000] * 12)],
        [CHUNKED, b"0\r\n", *([b"x-a: " + b"b" * 9_000 + b"\r\n"] * 12)],
    ],
    ids=["first line", "headers", "empty lines", "chunk extension", "trailers"],
)
async def test_nothing_endless_is_read(serve: Any, pieces: list[bytes]) -> None:
    port = await serve(ServerConfig(), Governance())
    answer = await answered(port, *pieces)
    assert not answer or b"400 Bad Request" in answer  # what is still being sent may be all that the client hears of
    assert b"200 OK" not in answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET /who HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /who HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /who HTTP/1.1\r\nhost: x\r\ncontent-length: -3\r\n\r\nabc",
        b"POST /who HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /who HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n",
        b"GET /who HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET /who HTTP/1.1\r\nhost: x\r\nx-a: b\0c\r\n\r\n",
        b"GET /who HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
    ],
    ids=lambda head: repr(head[:60]),
)
async def test_what_is_no_request_is_refused_and_nothing_behind_it_is_read(serve: Any, head: bytes) -> None:
    port = await serve(ServerConfig(), Governance())
    answer = await answered(port, head, b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"400 Bad Request" in answer
    assert b"200 OK" not in answer


async def test_requests_in_a_row_on_one_connection(serve: Any) -> None:
    port = await serve(ServerConfig(), Governance())
    get = b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n"
    last = get.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert (await answered(port, get + get, last + get)).count(b"200 OK") == 3


async def test_a_protocol_that_is_not_spoken_here_leaves_the_request_as_it_is(serve: Any) -> None:
    port = await serve(ServerConfig(), Governance())
    for upgrade in (b"websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==", b"h2c"):
        head = b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: " + upgrade
        answer = await answered(port, head + b"\r\n\r\n", b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer.count(b"200 OK") == 1
        assert b"connection: close" in answer.lower()


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


def test_a_socket_for_administrators_is_its_owners_alone(short_folder: Path) -> None:
    path = short_folder / "admin.sock"
    for _ in range(2):  # the second time, one is left from a server that was killed
        with contextlib.closing(listen_for_admin(f"unix:{path}")) as listener:
            assert listener.family == socket.AF_UNIX
            assert path.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(listen_for_admin("127.0.0.1:0")) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_only_this_machine_can_reach(host: str, near: bool) -> None:
    assert is_loopback(host) == near
