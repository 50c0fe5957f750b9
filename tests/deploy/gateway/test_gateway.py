"""Three servers behind nginx and behind Envoy, with the files under deploy/ as they stand but for addresses: conversations stay
on their server, and nothing is lost or done twice when one is killed and one drains under load. make test-gateway runs it.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fleet import CHAT, Client, Server, free_port, write_certificate
from install import CACHE

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(900)]

DEPLOY = Path(__file__).parents[3] / "deploy"
WORKERS = 10
NAMES = [f"conversation-{number}" for number in range(60)]


def adapted(text: str, changes: dict[str, str]) -> str:
    """A configuration with every one of ``changes`` made: what is not there any more fails."""
    for old, new in changes.items():
        assert old in text, f"the configuration has no {old!r}"
        text = text.replace(old, new)
    return text


def nginx(folder: Path, ports: list[int], port: int) -> list[str]:
    """The command that runs deploy/nginx/nginx.conf before ``ports``."""
    pem, key = write_certificate(folder)
    owner = pwd.getpwuid(os.getuid()).pw_name
    changes = {
        "user www-data;": f"user {owner};" if os.getuid() == 0 else "",
        "pid /run/nginx.pid;": f"pid {folder}/nginx.pid;",
        "/var/log/nginx": str(folder),
        "worker_processes auto;": "worker_processes 2;",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "/etc/nginx/tls/dovetail.pem": str(pem),
        "/etc/nginx/tls/dovetail.key": str(key),
        "    server_tokens off;": f"    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; "
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n    server_tokens off;",
        **{f"10.0.0.1{number + 1}:8000": f"127.0.0.1:{each}" for number, each in enumerate(ports)},
    }
    (folder / "nginx.conf").write_text(adapted((DEPLOY / "nginx" / "nginx.conf").read_text(), changes))
    # In the foreground, and its first log on the terminal.
    return [str(CACHE / "nginx"), "-c", f"{folder}/nginx.conf", "-p", str(folder), "-g", "daemon off;", "-e", "stderr"]


def envoy(folder: Path, ports: list[int], port: int) -> list[str]:
    """The command that runs deploy/envoy/envoy.yaml before ``ports``."""
    pem, key = write_certificate(folder)
    changes = {
        "address: 0.0.0.0, port_value: 8443": f"address: 127.0.0.1, port_value: {port}",
        "port_value: 9901": f"port_value: {free_port()}",
        "/etc/envoy/tls/dovetail.pem": str(pem),
        "/etc/envoy/tls/dovetail.key": str(key),
        **{
            f"address: 10.0.0.1{number + 1}, port_value: 8000": f"address: 127.0.0.1, port_value: {each}"
            for number, each in enumerate(ports)
        },
    }
    (folder / "envoy.yaml").write_text(adapted((DEPLOY / "envoy" / "envoy.yaml").read_text(), changes))
    program = str(CACHE / "venv" / "bin" / "envoy")
    return [program, "-c", f"{folder}/envoy.yaml", "--concurrency", "2", "--use-dynamic-base-id", "-l", "warning"]


PROXIES: dict[str, Callable[[Path, list[int], int], list[str]]] = {"nginx": nginx, "envoy": envoy}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three that run; a test that passes leaves them so."""
    folder = tmp_path_factory.mktemp("servers")
    started = [Server(free_port(), folder / f"log{number}") for number in range(3)]
    with ExitStack() as stack:
        for each in started:
            stack.callback(each.kill)
            each.start()
        for each in started:
            each.until_ready()
        yield started


@pytest.fixture(params=sorted(PROXIES))
async def client(request: pytest.FixtureRequest, servers: list[Server], tmp_path: Path) -> AsyncIterator[Client]:
    """Asks through each proxy, in turn."""
    assert (CACHE / "nginx").exists() and (CACHE / "installed").exists(), "make test-gateway installs what is needed"
    port = free_port()
    command = PROXIES[request.param](tmp_path, [each.port for each in servers], port)
    process = subprocess.Popen(command, cwd=tmp_path)  # noqa: ASYNC220 (it only starts it)
    try:
        made = Client(f"https://localhost:{port}", tmp_path / "dovetail.pem")
        async with made.opened() as http:
            await until_ready(http, process)
        yield made
    finally:
        process.terminate()
        process.wait(20)


async def until_ready(http: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the proxy ended while it started"
        try:
            if (await http.get("/ready")).status_code == 200:
                await asyncio.sleep(3.0)  # Envoy has asked each server by then
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the proxy is not ready")


@asynccontextmanager
async def under_load(client: Client, http: httpx.AsyncClient) -> AsyncIterator[None]:
    """Workers ask all the while."""
    enough = asyncio.Event()
    work = asyncio.create_task(client.load(http, WORKERS, enough))
    yield
    enough.set()
    await work


async def test_what_passes_through(client: Client, servers: list[Server]) -> None:
    async with client.opened() as http:
        upgrade = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "x",
        }
        assert (await http.get("/v1/responses", headers=upgrade)).status_code == 426
        assert (await http.get("/metrics")).status_code == 404
        refused = await http.post(CHAT, json={"messages": []})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "messages"
        assert refused.headers["x-request-id"]
        large = {"model": "coder", "messages": [{"role": "user", "content": "x" * (8 << 20)}]}
        assert (await http.post(CHAT, json=large)).status_code == 413
        line = '{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "%s"}}\n' % (
            "x" * 990
        )
        file = {"file": ("in.jsonl", line * 9000)}
        assert (await http.post("/v1/files", files=file, data={"purpose": "batch"})).json()["bytes"] > 9_000_000
        # A stream comes as it is made: its first words long before its last.
        body = {
            "model": "coder",
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 100,
            "seed": 0,
            "stream": True,
        }
        arrived: list[float] = []
        async with http.stream("POST", CHAT, json=body) as answer:
            word = answer.headers["x-dovetail-affinity"]
            async for _ in answer.aiter_lines():
                arrived.append(time.monotonic())
        assert arrived[-1] - arrived[0] > 1.0, "100 tokens take two seconds"
        assert len(word) == 32


async def test_conversations_stay_and_nothing_is_lost_or_done_twice(client: Client, servers: list[Server]) -> None:
    before = [each.told("begin") for each in servers]
    async with client.opened() as http:
        homes = await client.homes(http, servers, NAMES)
        assert await client.homes(http, servers, NAMES) == homes, "the same conversation goes to the same server"
        assert set(homes.values()) == {0, 1, 2}

        # One is killed under load: what it had begun is lost, and nothing else.
        killed, drained, left = servers
        async with under_load(client, http):
            await asyncio.sleep(2.0)
            while not killed.told("begin") - killed.told("end"):  # noqa: ASYNC110 (another process's)
                await asyncio.sleep(0.01)
            killed.kill()
            dead = time.monotonic()
            await asyncio.sleep(3.0)
        lost = [each for each in client.asked if each.problem is not None]
        begun_there = set(killed.told("begin") - killed.told("end")) & {each.seed for each in client.asked}
        begun_elsewhere = set(drained.told("begin") + left.told("begin"))
        later = [each.problem for each in lost if each.at > dead]
        assert not later, f"whoever asks later is answered: {later}"
        assert not {each.seed for each in lost} & begun_elsewhere, "they were on their way through the killed one"
        assert begun_there <= {each.seed for each in lost} and len(lost) <= WORKERS
        now = await client.homes(http, servers, NAMES)
        stayed = [name for name in NAMES if homes[name] != 0]
        moved = [name for name in stayed if now[name] != homes[name]]
        assert len(moved) <= 1, f"only the lost server's ones move, and {moved}"
        assert 0 not in now.values()

        # One drains under load: nothing at all is lost.
        async with under_load(client, http):
            await asyncio.sleep(1.0)
            drained.drain()
            await asyncio.sleep(4.0)
        assert [each.problem for each in client.asked if each.problem is not None] == [each.problem for each in lost]
        assert drained.process is not None and drained.process.wait(120) == 0
        asked = {each.seed for each in client.asked}
        unfinished = set(drained.told("begin") - drained.told("end")) & asked
        assert not unfinished, "it has done all that it began"
        assert set((await client.homes(http, servers, NAMES)).values()) == {2}

        for each in (killed, drained):
            each.start()
        for each in (killed, drained):
            each.until_ready()
        await asyncio.sleep(11.0)  # nginx leaves a server alone for ten seconds
        for name in NAMES[:3]:  # nginx finds out by asking
            await client.homes(http, servers, [name])
        assert await client.homes(http, servers, NAMES) == homes, "they are back where they were"

    done = [each.told("begin") - known for each, known in zip(servers, before, strict=True)]
    total = done[0] + done[1] + done[2]
    assert not [seed for seed, times in total.items() if times > 1], "nothing was done twice"
    good = {each.seed for each in client.asked if each.problem is None}
    assert good <= set(total) and len(client.asked) - len(good) == len(lost)
    assert len(client.asked) > 4 * len(NAMES)
    print(f"{len(client.asked)} requests, {len(lost)} lost with the killed server, which had begun {len(begun_there)}")
