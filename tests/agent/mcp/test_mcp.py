"""The MCP server over a pipe, asked by the SDK's own client and by clients that talk nonsense."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from repositories import ALONE, git, write

DOVETAIL = str(Path(sys.executable).parent / "dovetail")
CART = "def total(prices):\n    return sum(prices)\n\n\ndef mean(prices):\n    return total(prices) / len(prices)\n"
TEST = "from cart import mean\n\n\ndef test_mean():\n    assert mean([1, 3]) == 2\n"
PATCH = "--- a/cart.py\n+++ b/cart.py\n@@ -6 +6 @@\n-    return total(prices) / len(prices)\n+    return total(prices) / max(1, len(prices))\n"  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder, {"cart.py": CART, "test_cart.py": TEST, "pyproject.toml": "[project]\n", "pytest.ini": ALONE})
    git(folder, "init", "-q")
    (folder / "outward").symlink_to(tmp_path)
    (tmp_path / "secret.py").write_text("secret = 1\n")
    return folder


@pytest.fixture
def model() -> Iterator[str]:
    """A server that makes every edit say max(1, ...)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            files = [{**each, "content": each["content"].replace("/ len(", "/ max(1, len(")} for each in body["files"]]
            raw = json.dumps({"files": files}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@asynccontextmanager
async def connected(root: Path, server: str = "http://127.0.0.1:1") -> AsyncIterator[Client]:
    """A client of ``dovetail mcp`` in a process of its own."""
    environment = {"XDG_CACHE_HOME": str(root.parent / "cache"), "DOVETAIL_SERVER": server}
    command = StdioServerParameters(command=DOVETAIL, args=["mcp", str(root)], env=environment)
    async with Client(stdio_client(command, sys.__stderr__ or sys.stderr)) as client:
        yield client


async def said(client: Client, tool: str, **arguments: Any) -> tuple[bool, str]:
    """Whether it is an error, and the text."""
    result = await client.call_tool(tool, arguments)
    return bool(result.is_error), "".join(getattr(part, "text", "") for part in result.content)


async def test_the_tools_do_what_they_say(root: Path, model: str) -> None:
    async with connected(root, model) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"map", "find", "edit", "check", "apply", "undo"}
        assert all(tool.description for tool in tools.values())

        assert "def mean(prices)" in (await said(client, "map", focus=["mean"]))[1]
        assert "cart.py:1 function" in (await said(client, "find", what="definitions", name="total"))[1]
        assert "cart.py:6" in (await said(client, "find", what="callers", name="total"))[1]
        assert "test_cart.py" in (await said(client, "find", what="impact", name="cart.py"))[1]

        made = json.loads((await said(client, "edit", instruction="never divide by 0", files=["cart.py"]))[1])
        assert made["files"] == ["cart.py"] and "max(1, len(" in made["patch"]
        assert (root / "cart.py").read_text() == CART

        wrong = json.loads((await said(client, "check", patch=made["patch"]))[1])
        assert not wrong["passed"] and wrong["checks"][-1]["check"] == "parses"
        right = json.loads((await said(client, "check", patch=PATCH))[1])
        assert right["passed"] and "all tests" in [each["check"] for each in right["checks"]] and right["containment"]

        assert json.loads((await said(client, "apply", patch=PATCH))[1])["written"] == ["cart.py"]
        assert "max(1, len(prices))" in (root / "cart.py").read_text()
        assert json.loads((await said(client, "undo"))[1])["restored"] == ["cart.py"]
        assert (root / "cart.py").read_text() == CART
        assert (await said(client, "undo"))[0]


def renamed(path: str) -> str:
    return PATCH.replace("a/cart.py", f"a/{path}").replace("b/cart.py", f"b/{path}")


async def test_bad_input_is_refused_in_words_and_nothing_is_written(root: Path) -> None:
    new = "--- /dev/null\n+++ b/{}\n@@ -0,0 +1 @@\n+x = 1\n"
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("apply", {"patch": "nonsense"}, "no unified diff"),
        ("apply", {"patch": PATCH.replace("-    return total", "-    return totals")}, "is not there"),
        ("apply", {"patch": PATCH + renamed("test_cart.py")}, "is not there"),
        ("apply", {"patch": renamed("../secret.py")}, "without . and .."),
        ("apply", {"patch": renamed("outward/secret.py")}, "leads out of"),
        ("apply", {"patch": new.format("outward/new.py")}, "leads out of"),
        ("apply", {"patch": new.format(".git/hooks/pre-commit")}, "git's own files"),
        ("apply", {"patch": new.format("sub/.GIT/config")}, "git's own files"),
        ("apply", {"patch": new.format("conftest.py")}, "--allow conftest.py"),
        ("apply", {"patch": "--- a/cart.py\n+++ /dev/null\n@@ -1,6 +0,0 @@\n" + "".join(f"-{line}\n" for line in CART.splitlines())}, "only its owner deletes"),
        ("apply", {}, "patch"),
        ("apply", {"patch": 7}, "patch"),
        ("edit", {"instruction": "x", "files": ["/etc/passwd"]}, "are relative to"),
        ("edit", {"instruction": "x", "files": ["outward/secret.py"]}, "leads out of"),
        ("edit", {"instruction": "x", "files": []}, "files must name"),
        ("edit", {"instruction": "x", "files": ["absent.py"]}, "does not exist"),
        ("edit", {"instruction": "x", "files": ["cart.py"]}, "No server answers"),
        ("find", {"what": "everything", "name": "x"}, "what"),
        ("find", {"what": "callers", "name": "absent"}, "is not defined"),
        ("map", {"budget": 0}, "budget"),
        ("check", {"patch": "x"}, "no unified diff"),
        ("map", {"budgets": 100}, "budgets"),
        ("rm", {}, "rm"),
    ]  # fmt: skip
    before = {path: path.read_bytes() for path in root.parent.rglob("*.py")}
    async with connected(root) as client:
        for tool, arguments, words in cases:
            try:
                failed, text = await said(client, tool, **arguments)
            except Exception as error:  # noqa: BLE001 - the client raises what the server answers by protocol
                failed, text = True, str(error)
            assert failed and words in text, (tool, arguments, text)
    assert {path: path.read_bytes() for path in root.parent.rglob("*.py")} == before


async def test_an_undo_keeps_what_somebody_else_wrote(root: Path) -> None:
    async with connected(root) as client:
        await said(client, "apply", patch=PATCH)
        (root / "cart.py").write_text("mine = 1\n")
        assert json.loads((await said(client, "undo"))[1])["kept"] == ["cart.py"]
    assert (root / "cart.py").read_text() == "mine = 1\n"


def test_nonsense_on_the_wire_does_not_end_the_server(root: Path) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    nonsense = [
        b"not json",
        b"[]",
        b"{}",
        b'{"jsonrpc": "2.0"}',
        b'{"jsonrpc": "1.0", "id": 1, "method": 5}',
        b"\xff\xfe",
        b"null",
        b'{"a":' * 2000,
    ]
    raw = b"\n".join([*nonsense, json.dumps(hello).encode(), b""])
    process = subprocess.Popen([DOVETAIL, "mcp", str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(raw)
    process.stdin.flush()
    answers = []
    for line in process.stdout:
        answers.append(json.loads(line))
        if answers[-1].get("id") == 7:
            break
    process.stdin.close()
    process.stdout.close()
    assert process.wait(60) == 0
    assert answers[-1]["result"]["serverInfo"]["name"] == "dovetail"
    assert all("error" in answer for answer in answers[:-1])


def test_a_root_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = subprocess.run([DOVETAIL, "mcp", str(tmp_path / "no")], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 2 and "is no folder" in done.stderr
