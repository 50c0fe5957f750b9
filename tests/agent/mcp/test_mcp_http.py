"""The MCP server over HTTP: for those who have its token, on this machine, and for no web page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.client import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from repositories import write
from typer.testing import CliRunner

from dovetail.agent.cli import app
from dovetail.agent.mcp.http import TOKEN
from dovetail.agent.problems import Problem

DOVETAIL = str(Path(sys.executable).parent / "dovetail")
SECRET = "a-token-of-this-test"
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server in a process of its own."""
    folder = tmp_path_factory.mktemp("http")
    write(folder / "project", {"cart.py": "def total(prices):\n    return sum(prices)\n"})
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), TOKEN: SECRET}
    command = [DOVETAIL, "mcp", str(folder / "project"), "--http", "127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    said = process.stderr.readline()
    yield said.split()[-1]
    process.terminate()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(30)


async def test_the_tools_answer_those_who_have_the_token(url: str) -> None:
    headers = {"authorization": f"Bearer {SECRET}"}
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        assert {tool.name for tool in (await client.list_tools()).tools} >= {"map", "check", "apply"}
        found = await client.call_tool("find", {"what": "definitions", "name": "total"})
        assert "cart.py:1 function" in str(found.content)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": SECRET}, 401),
        ({"authorization": f"Bearer {SECRET}", "origin": "http://evil.example"}, 403),
        ({"authorization": f"Bearer {SECRET}", "origin": "http://127.0.0.1:3000"}, 403),
        ({"authorization": f"Bearer {SECRET}", "host": "evil.example"}, 421),
        ({"authorization": f"Bearer {SECRET}"}, 200),
    ],
)
def test_others_are_refused(url: str, headers: dict[str, str], status: int) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    assert httpx.post(url, json=HELLO, headers={**accept, **headers}, trust_env=False).status_code == status


def test_other_paths_need_the_token_too(url: str) -> None:
    assert httpx.get(re.sub("/mcp$", "/other", url), trust_env=False).status_code == 401


@pytest.mark.parametrize("address", ["0.0.0.0:0", "example.org:80", "127.0.0.1", "127.0.0.1:99999", "[::]:0"])
def test_an_address_that_others_reach_is_refused(tmp_path: Path, address: str) -> None:
    done = CliRunner().invoke(app, ["mcp", str(tmp_path), "--http", address])
    assert isinstance(done.exception, Problem) and "--http" in str(done.exception)


def test_a_short_token_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "short")
    done = CliRunner().invoke(app, ["mcp", str(tmp_path), "--http", "127.0.0.1:0"])
    assert isinstance(done.exception, Problem) and "at least 16" in str(done.exception)
