"""The whole thing as users start it: `dovetail serve` on a tiny random model, spoken to over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tiny import write_tiny_checkpoint

FILE = {"path": "calc.py", "content": "def add(a, b):\n    return a + b\n"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(*arguments: str, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dovetail.serve.cli", "serve", *arguments, "--port", str(port), "--threads", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny-random")


@pytest.fixture(scope="module")
def server(checkpoint: Path) -> Iterator[httpx.Client]:
    port = free_port()
    process = start(str(checkpoint), port=port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            eventually(lambda: is_ready(client))
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, process.stdout and process.stdout.read()
            assert process.stdout is not None
            process.stdout.close()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post("/v1/completions", json={"model": "tiny-random", "prompt": "def", "max_tokens": 5, **body})


def test_answers(server: httpx.Client) -> None:
    assert server.get("/health").status_code == 200
    assert server.get("/v1/models").json()["data"][0]["id"] == "tiny-random"
    assert ask(server).json()["usage"]["completion_tokens"] <= 5
    body = {"model": "tiny-random", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    assert server.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["role"] == "assistant"
    assert "dovetail_engine_steps_total" in server.get("/metrics").text


LEVEL = {
    "type": "function",
    "function": {
        "name": "set_level",
        "parameters": {
            "type": "object",
            "properties": {
                "level": {"enum": ["low", "high"]},
                "steps": {"type": "integer", "minimum": 0, "maximum": 99},
            },
            "required": ["level", "steps"],
            "additionalProperties": False,
        },
    },
}
WORD = {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: ("ab" | "cd") "\\n" "end"'}}
SAY = {"type": "custom", "custom": {"name": "say", "format": WORD}}


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_babbles_makes_valid_calls_where_it_must_call(server: httpx.Client, stream: bool) -> None:
    messages = [{"role": "user", "content": "hi"}]
    for seed in range(3):
        body = {"messages": messages, "tools": [LEVEL], "tool_choice": "required", "seed": seed, "max_tokens": 400}
        choice = {"type": "custom", "custom": {"name": "say"}}
        custom = {"messages": messages, "tools": [SAY, LEVEL], "tool_choice": choice, "seed": seed, "max_tokens": 400}
        for call in calls(server, {**body, "parallel_tool_calls": False}, stream):
            arguments = json.loads(call["function"]["arguments"])
            assert set(arguments) == {"level", "steps"}
            assert arguments["level"] in ("low", "high")
            assert 0 <= arguments["steps"] <= 99
        for call in calls(server, {**custom, "parallel_tool_calls": False}, stream):
            assert call["custom"]["input"] in ("ab\nend", "cd\nend")


def calls(server: httpx.Client, body: dict[str, Any], stream: bool) -> list[dict[str, Any]]:
    """The calls of an answer, which must end with them."""
    answer = server.post("/v1/chat/completions", json={**body, "stream": stream})
    assert answer.status_code == 200, answer.text
    if not stream:
        [choice] = answer.json()["choices"]
        assert choice["finish_reason"] == "tool_calls", choice
        return choice["message"]["tool_calls"]
    lines = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert lines[-1]["choices"][0]["finish_reason"] == "tool_calls", lines
    whole: dict[int, dict[str, Any]] = {}
    for line in lines:
        for delta in line["choices"][0]["delta"].get("tool_calls", ()):
            call = whole.setdefault(delta["index"], delta)
            if call is not delta:
                kind, key = ("custom", "input") if "custom" in delta else ("function", "arguments")
                call[kind][key] += delta[kind][key]
    return list(whole.values())


def test_edits_whole_and_streamed_agree(server: httpx.Client) -> None:
    body = {"instruction": "rename add", "files": [FILE], "max_tokens": 60, "seed": 3, "temperature": 1.0}
    whole = server.post("/v1/edits", json=body).json()
    streamed = server.post("/v1/edits", json={**body, "stream": True}).text
    last = streamed.strip().split("\n\n")[-1]
    assert last.startswith("event: edits.completed\n")
    completed = json.loads(last.split("data: ", maxsplit=1)[1])
    for key in ("edits", "files", "patch", "finish_reason"):
        assert completed[key] == whole[key]


@pytest.mark.parametrize("stream", [False, True])
def test_structured_outputs_whole_and_streamed(server: httpx.Client, stream: bool) -> None:
    schema = {"type": "object", "properties": {"ok": {"enum": [True, "größe"]}}, "required": ["ok"]}
    schema["additionalProperties"] = False
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}},
        "n": 3,
        "seed": 1,
        "max_tokens": 300,
        "stream": stream,
    }
    answer = server.post("/v1/chat/completions", json=body)
    texts, reasons = ["", "", ""], ["", "", ""]
    if stream:
        chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        for choice in (choice for chunk in chunks for choice in chunk["choices"]):
            texts[choice["index"]] += choice["delta"].get("content") or ""
            reasons[choice["index"]] = choice["finish_reason"] or ""
    else:
        for choice in answer.json()["choices"]:
            texts[choice["index"]], reasons[choice["index"]] = choice["message"]["content"], choice["finish_reason"]
    assert reasons == ["stop"] * 3
    assert all(json.loads(text)["ok"] in (True, "größe") for text in texts)
    refused = server.post("/v1/chat/completions", json={**body, "response_format": None, "regex": "("})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "regex")


def test_an_engine_that_dies_is_replaced(server: httpx.Client, checkpoint: Path) -> None:
    engines = [
        int(line.split()[0])
        for line in subprocess.run(
            ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        if "dovetail.serve.worker" in line and str(checkpoint) in line
    ]
    assert len(engines) == 1
    with server.stream(
        "POST", "/v1/completions", json={"prompt": "x", "max_tokens": 1500, "stream": True, "ignore_eos": True}
    ) as stream:
        lines = stream.iter_lines()
        next(lines)
        os.kill(engines[0], signal.SIGKILL)
        rest = list(lines)
    assert any("engine_died" in line for line in rest), "the stream must say why it ended"
    assert server.get("/health").status_code == 200
    eventually(lambda: is_ready(server))
    assert ask(server).status_code == 200


def test_asked_to_end_it_finishes_what_runs_and_takes_nothing_new(checkpoint: Path) -> None:
    port = free_port()
    process = start(str(checkpoint), "--drain-seconds", "20", port=port)
    body = {
        "prompt": "x",
        "max_tokens": 1500,
        "stream": True,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            eventually(lambda: is_ready(client))
            with client.stream("POST", "/v1/completions", json=body) as stream:
                lines = stream.iter_lines()
                next(lines)
                process.send_signal(signal.SIGTERM)
                eventually(lambda: not is_ready(client))
                refused = ask(client)
                rest = [line for line in lines if line.startswith("data: {")]
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "draining"
        assert json.loads(rest[-1].removeprefix("data: "))["usage"]["completion_tokens"] == 1500
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_full_queue_is_said_at_once(checkpoint: Path) -> None:
    port = free_port()
    process = start(str(checkpoint), "--max-num-seqs", "1", "--max-waiting", "1", port=port)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            eventually(lambda: is_ready(client))
            full = ask(client, n=3)
            assert full.status_code == 429
            assert int(full.headers["retry-after"]) > 0
            assert full.json()["error"]["code"] == "queue_full"
            assert ask(client, n=2).status_code == 200
    finally:
        process.terminate()
        process.communicate()


def failure(*arguments: str, port: int | None = None) -> tuple[int, str]:
    process = start(*arguments, port=port if port is not None else free_port())
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_a_port_that_is_taken_is_named(checkpoint: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, output = failure(str(checkpoint), port=port)
    assert status == 2
    assert str(port) in output
    assert "--port" in output


def broken(name: str, directory: Path) -> None:
    if name == "no weights":
        (directory / "model.safetensors").unlink()
    elif name == "truncated":
        file = directory / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1000])
    elif name == "pickle":
        (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    elif name == "architecture":
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps({**config, "architectures": ["MambaForCausalLM"]}))
    elif name == "tokenizer":
        (directory / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no weights", "safetensors"),
        ("truncated", "model.safetensors"),
        ("pickle", "pickle"),
        ("architecture", "MambaForCausalLM"),
        ("tokenizer", "tokenizer"),
    ],
)
def test_a_model_that_cannot_be_served_says_why(tmp_path: Path, name: str, message: str) -> None:
    directory = write_tiny_checkpoint(tmp_path / "model")
    broken(name, directory)
    status, output = failure(str(directory))
    assert status == 1
    assert message in output
    assert "Traceback" not in output
