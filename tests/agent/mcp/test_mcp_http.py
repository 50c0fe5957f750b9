"""The MCP server over HTTP: for those who have its token, on this machine, and for no web page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
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
    environment["DOVETAIL_SERVER"] = "http://127.0.0.1:1"
    command = [DOVETAIL, "mcp", str(folder / "project"), "--http", "127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    said = process.stderr.readline()
    yield said.split()[-1]
    process.terminate()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(30)


@asynccontextmanager
async def connected(url: str, mode: str) -> AsyncIterator[Client]:
    """A client with the token; ``mode`` "legacy" speaks a protocol with sessions, "auto" the one without."""
    async with (
        create_mcp_http_client(headers={"authorization": f"Bearer {SECRET}"}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


async def told(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool answers: JSON where it is JSON."""
    result = await client.call_tool(tool, arguments)
    text = "".join(getattr(part, "text", "") for part in result.content)
    assert not result.is_error, text
    return json.loads(text) if text.startswith("{") else text


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The words in which a tool refuses."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content)


def adding(name: str) -> str:
    """A patch that makes a file."""
    return f"--- /dev/null\n+++ b/{name}.py\n@@ -0,0 +1 @@\n+{name} = 1\n"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tools_answer_those_who_have_the_token(url: str, mode: str) -> None:
    async with connected(url, mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {
            "map", "find", "edit", "check", "apply", "undo",
        }  # fmt: skip
        assert "def total(prices)" in await told(client, "map", focus=["total"])
        assert "cart.py:1 function" in await told(client, "find", what="definitions", name="total")
        assert "No server answers" in await refused(client, "edit", instruction="x", files=["cart.py"])
        assert (await told(client, "check", patch=adding("fresh"), commands=False))["passed"]
        done = await told(client, "apply", patch=adding("fresh"))
        assert done["written"] == ["fresh.py"]
        assert (await told(client, "undo", id=done["undo"]))["restored"] == ["fresh.py"]


async def test_each_session_takes_back_its_own_patches(url: str) -> None:
    async with connected(url, "legacy") as one, connected(url, "legacy") as other:
        await told(one, "apply", patch=adding("ours"))
        theirs = await told(other, "apply", patch=adding("theirs"))
        assert "Nothing was applied" in await refused(one, "undo", id=theirs["undo"])
        assert (await told(one, "undo")) == {"restored": ["ours.py"], "kept": ["theirs.py"], "left": 0}
        assert "Nothing was applied" in await refused(one, "undo")
        assert (await told(other, "undo"))["restored"] == ["theirs.py"]


async def test_without_sessions_a_patch_is_taken_back_by_its_id(url: str) -> None:
    async with connected(url, "auto") as client, connected(url, "legacy") as other:
        done = await told(client, "apply", patch=adding("mine"))
        assert "give the id" in await refused(client, "undo")
        assert "Nothing was applied" in await refused(other, "undo")
        assert (await told(client, "undo", id=done["undo"]))["restored"] == ["mine.py"]


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
