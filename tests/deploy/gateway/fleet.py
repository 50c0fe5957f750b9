"""Three servers and a proxy before them, as processes; and a load of requests, each accounted for. Knows no particular proxy."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SCRIPT = Path(__file__).parent / "scripted_server.py"
CHAT = "/v1/chat/completions"
STEP_MS = 20
START_S = 90.0
SEEDS = itertools.count(1)
"""No two requests of a run have the same."""


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """One server, and what its engine wrote down."""

    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to serve; see ``until_ready``."""
        command = [sys.executable, str(SCRIPT), str(self.port), str(self.log), str(STEP_MS)]
        self.process = subprocess.Popen(command, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def until_ready(self) -> None:
        """Wait until it takes requests."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/ready", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.process is not None and self.process.poll() is None, "the server ended while it started"
            time.sleep(0.1)
        raise AssertionError("the server is not ready")

    def kill(self) -> None:
        """End it and its engine at once, as a machine ends whose power fails."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def drain(self) -> None:
        """Ask it to end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def told(self, what: str) -> Counter[int]:
        """The seeds of the requests that it has begun, ended or cancelled, and how often."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter(int(line.split()[1]) for line in lines if line.startswith(f"{what} "))


@dataclass
class Asked:
    """What became of one request, and when it was asked. ``problem``: how it failed, in words."""

    seed: int
    at: float = field(default_factory=time.monotonic)
    problem: str | None = None


@dataclass
class Client:
    """Asks for chat completions through the proxy, half of them streamed, each with a seed of its own; never asks again."""

    url: str
    certificates: Path
    asked: list[Asked] = field(default_factory=list)

    def opened(self) -> httpx.AsyncClient:
        """A client that keeps its connections."""
        context = ssl.create_default_context(cafile=str(self.certificates))
        return httpx.AsyncClient(base_url=self.url, verify=context, timeout=300, trust_env=False)

    async def ask(self, http: httpx.AsyncClient, *, tokens: int, headers: dict[str, str] | None = None) -> Asked:
        """One request to its end."""
        asked = Asked(next(SEEDS))
        self.asked.append(asked)
        body = {
            "model": "coder",
            "messages": [{"role": "user", "content": f"{asked.seed}"}],
            "max_tokens": tokens,
            "seed": asked.seed,
            "stream": asked.seed % 2 == 0,
        }
        headers = {"x-request-id": f"request-{asked.seed}", **(headers or {})}
        try:
            answer = await http.post(CHAT, json=body, headers=headers)
            whole = "data: [DONE]" in answer.text if body["stream"] else '"finish_reason":"length"' in answer.text
            if answer.status_code != 200 or not whole or '"error"' in answer.text:
                asked.problem = f"{answer.status_code} {answer.text[:300]}"
            elif answer.headers["x-request-id"] != headers["x-request-id"]:
                asked.problem = "another request's id"
        except httpx.HTTPError as error:
            asked.problem = repr(error)
        return asked

    async def load(self, http: httpx.AsyncClient, workers: int, until: asyncio.Event) -> None:
        """So many at a time, until it is enough; each conversation is a worker's, for three turns."""

        async def work(number: int) -> None:
            for turn in itertools.count():
                if until.is_set():
                    return
                await self.ask(http, tokens=5 + turn % 20, headers={"session-id": f"s{number}-{turn // 3}"})

        await asyncio.gather(*(work(number) for number in range(workers)))

    async def homes(self, http: httpx.AsyncClient, servers: Sequence[Server], names: Sequence[str]) -> dict[str, int]:
        """Which server answers each conversation."""
        seeds: dict[int, str] = {}
        for name in names:
            asked = await self.ask(http, tokens=1, headers={"x-dovetail-affinity": name})
            assert asked.problem is None, asked.problem
            seeds[asked.seed] = name
        return {
            seeds[seed]: number
            for number, server in enumerate(servers)
            for seed in server.told("begin")
            if seed in seeds
        }


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "dovetail.pem", folder / "dovetail.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return pem, secret
