"""The whole thing as users start it: `dovetail serve` on a tiny random model, spoken to over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from engines import Engine, engine_named
from tiny import write_tiny_checkpoint

from dovetail.models.embedded import WEIGHTS
from dovetail.models.random_checkpoint import MARKER_TOKENS

FIM_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>")
FILE = {"path": "calc.py", "content": "def add(a, b):\n    return a + b\n"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


NATIVE = engine_named("native")


def start(*arguments: str, port: int, log: Path | None = None, engine: Engine = NATIVE) -> subprocess.Popen[str]:
    """``log``: where its output goes; None: it is there to be read."""
    command = [sys.executable, "-m", "dovetail.serve.cli", "serve", *arguments, "--port", str(port), *engine.flags]
    if log is None:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with log.open("w") as sink:
        return subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, text=True)


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny-random"
    if engine.name == "native":
        return write_tiny_checkpoint(folder, markers=(*MARKER_TOKENS, *FIM_TOKENS))
    return Path(shutil.copytree(WEIGHTS, folder))  # a real shape: vLLM has no kernels for heads of 16


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def server(checkpoint: Path, state: Path, engine: Engine) -> Iterator[httpx.Client]:
    port, log = free_port(), state / "server.log"
    where = ("--card", str(state / "dovetail" / "card"), "--max-model-len", "2048")
    process = start(str(checkpoint), *where, "--log-format", "json", port=port, log=log, engine=engine)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            eventually(lambda: is_ready(client), engine.start_s)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post("/v1/completions", json={"model": "tiny-random", "prompt": "def", "max_tokens": 5, **body})


@pytest.mark.any_engine
def test_answers(server: httpx.Client) -> None:
    assert server.get("/health").status_code == 200
    assert server.get("/v1/models").json()["data"][0]["id"] == "tiny-random"
    assert ask(server).json()["usage"]["completion_tokens"] <= 5
    body = {"model": "tiny-random", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    assert server.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["role"] == "assistant"
    assert "dovetail_engine_steps_total" in server.get("/metrics").text


def test_each_log_line_is_an_object_with_its_request_and_without_its_text(server: httpx.Client, state: Path) -> None:
    secret = "def a_name_that_nobody_else_types"
    told = server.post(
        "/v1/completions",
        json={"model": "tiny-random", "prompt": secret, "max_tokens": 2},
        headers={"x-request-id": "walk-1"},
    )
    assert told.headers["x-request-id"] == "walk-1"
    own: list[dict[str, Any]] = []

    def found() -> bool:
        lines = [json.loads(line) for line in (state / "server.log").read_text().splitlines()]
        own[:] = [line for line in lines if line.get("request_id") == "walk-1"]
        return bool(own)

    eventually(found)
    assert [(line["event"], line["path"], line["status"]) for line in own] == [("request", "/v1/completions", 200)]
    assert secret not in (state / "server.log").read_text()


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


@pytest.mark.any_engine
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


MANY = "\n".join(f'r{each}: %json {{"type": "array", "items": {{"type": "integer"}}}}' for each in range(300))
HOSTILE: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", {"grammar": f"start: {' | '.join(f'r{each}' for each in range(300))}\n{MANY}"}),
    ("/v1/completions", {"grammar": "start: A\nA: " + " & ".join(f"/(?s:.*)w{each}(?s:.*)/" for each in range(14))}),
    ("/v1/completions", {"regex": "(a{1,1000}){1,1000}"}),
    ("/v1/completions", {"regex": "(.*a){20}"}),
    ("/v1/completions", {"prompt": "[" * 60_000}),
    ("/v1/completions", {"prompt": [0] * 5000, "stream": True}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}] * 40_000}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "tools": [LEVEL] * 500}),
    ("/v1/edits", {"instruction": "x", "files": [{"path": "a.py", "content": "/*\n" * 8000}]}),
    ("/v1/edits", {"instruction": "x", "files": [{"path": "a.yaml", "content": "? " * 4000}]}),
    ("/v1/edits/apply", {"text": "a.cs\n", "files": [{"path": "a.cs", "content": "}-" * 8000}]}),
    ("/v1/security/scan", {"files": [{"path": "a.java", "content": "x=>" * 8000}]}),
    ("/v1/moderations", {"input": "write " * 100_000}),
]


@pytest.mark.any_engine
def test_hostile_requests_harm_nobody_beside_them(server: httpx.Client) -> None:
    def hostile(asked: tuple[str, dict[str, Any]]) -> int:
        with httpx.Client(base_url=server.base_url, timeout=110) as client:
            body = {"prompt": "def", "max_tokens": 5, **asked[1]} if asked[0] == "/v1/completions" else asked[1]
            return client.post(asked[0], json=body).status_code

    def broken(data: bytes) -> bytes:
        with socket.create_connection((server.base_url.host, server.base_url.port or 0), timeout=110) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(20)

    heads = [
        b"\x00" * 500,
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ]
    with ThreadPoolExecutor(len(HOSTILE) + len(heads)) as threads:
        asked = [threads.submit(hostile, each) for each in HOSTILE]
        refused = [threads.submit(broken, head) for head in heads]
        for _ in range(5):
            assert ask(server).status_code == 200
        statuses = [each.result() for each in asked]
        assert all(each.result() in (b"", b"HTTP/1.1 400 Bad Req") for each in refused)
    assert not [told for told in zip(HOSTILE, statuses, strict=True) if told[1] not in (200, 400, 422)], statuses
    assert ask(server).status_code == 200
    assert "dovetail_engine_restarts_total 0.0" in server.get("/metrics").text


def test_a_gap_is_filled_in_three_ways_alike(server: httpx.Client) -> None:
    own = {"input_prefix": "def add(", "input_suffix": "):\n    pass\n", "n_predict": 12, "temperature": 0.0}
    whole = server.post("/infill", json=own).json()
    streamed = server.post("/infill", json={**own, "stream": True}).text
    pieces = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert "".join(piece["content"] for piece in pieces) == whole["content"]
    body = {"prompt": "def add(", "suffix": "):\n    pass\n", "max_tokens": 12, "temperature": 0.0}
    answer = server.post("/v1/completions", json=body).json()
    assert answer["choices"][0]["text"] == whole["content"]
    assert answer["usage"]["prompt_tokens"] == whole["tokens_evaluated"]
    written = "<|fim_prefix|>def add(<|fim_suffix|>):\n    pass\n<|fim_middle|>"
    raw = {"prompt": written, "max_tokens": 12, "temperature": 0.0}
    tokens = server.post("/tokenize", json={"content": written}).json()["tokens"]
    assert len(tokens) == whole["tokens_evaluated"]
    assert server.post("/detokenize", json={"tokens": tokens}).json()["content"] == written
    stops = server.post("/tokenize", json={"content": "".join(FIM_TOKENS)}).json()["tokens"]
    again = server.post("/v1/completions", json={**raw, "stop_token_ids": stops}).json()
    assert again["choices"][0]["text"] == whole["content"]
    extra = [{"filename": f"{name}.py", "text": "x = 1\n" * 90} for name in "abcdefgh"]
    among = server.post("/infill", json={**own, "input_extra": extra}).json()
    assert among["truncated"] is True
    assert 1000 < among["tokens_evaluated"] <= 2048 - 12


@pytest.mark.any_engine
def test_best_of_is_the_likeliest_of_its_seeds(server: httpx.Client) -> None:
    body = {"model": "tiny-random", "prompt": "def", "max_tokens": 5, "seed": 4, "temperature": 1.5, "logprobs": 0}
    every = ask(server, **body, n=6).json()["choices"]
    means = [sum(choice["logprobs"]["token_logprobs"]) / len(choice["logprobs"]["tokens"]) for choice in every]
    ranked = [every[place]["text"] for place in sorted(range(6), key=lambda place: -means[place])]
    best = ask(server, **{**body, "logprobs": None}, n=2, best_of=6).json()
    assert [choice["text"] for choice in best["choices"]] == ranked[:2]


def test_a_batch_outlives_the_server_that_began_it(checkpoint: Path, tmp_path: Path) -> None:
    lines = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/completions",
            "body": {"prompt": f"x{number}", "max_tokens": 60, "ignore_eos": True},
        }
        for number in range(60)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    store, port = str(tmp_path / "store.db"), free_port()
    url = f"http://127.0.0.1:{port}"
    process = start(str(checkpoint), "--store", store, port=port)
    with httpx.Client(base_url=url, timeout=60) as http, openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        try:
            eventually(lambda: is_ready(http))
            file = client.files.create(file=("in.jsonl", content), purpose="batch")
            batch = client.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")
            eventually(lambda: answered(client, batch.id) > 0)
            process.kill()
            process.communicate()
            process = start(str(checkpoint), "--store", store, port=port)
            eventually(lambda: is_ready(http))
            assert answered(client, batch.id) > 0
            eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
            output = client.batches.retrieve(batch.id).output_file_id
            assert output is not None
            entries = [json.loads(line) for line in client.files.content(output).text.splitlines()]
        finally:
            process.kill()
            process.communicate()
    assert [entry["custom_id"] for entry in entries] == [line["custom_id"] for line in lines]
    assert all(entry["response"]["body"]["usage"]["completion_tokens"] == 60 for entry in entries)


def answered(client: openai.OpenAI, id: str) -> int:
    counts = client.batches.retrieve(id).request_counts
    assert counts is not None
    return counts.completed


@pytest.mark.any_engine
def test_edits_whole_and_streamed_agree(server: httpx.Client) -> None:
    body = {"instruction": "rename add", "files": [FILE], "max_tokens": 60, "seed": 3, "temperature": 1.0}
    whole = server.post("/v1/edits", json=body).json()
    streamed = server.post("/v1/edits", json={**body, "stream": True}).text
    last = streamed.strip().split("\n\n")[-1]
    assert last.startswith("event: edits.completed\n")
    completed = json.loads(last.split("data: ", maxsplit=1)[1])
    for key in ("edits", "files", "patch", "finish_reason"):
        assert completed[key] == whole[key]


@pytest.mark.any_engine
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


@pytest.mark.any_engine
def test_an_engine_that_dies_is_replaced(server: httpx.Client, checkpoint: Path, engine: Engine) -> None:
    engines = [
        int(line.split()[0])
        for line in subprocess.run(
            ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        if engine.process in line and str(checkpoint) in line
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
    eventually(lambda: is_ready(server), engine.start_s)
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


def test_what_is_measured_is_in_the_card_of_the_server_it_was_measured_on(server: httpx.Client, state: Path) -> None:
    before = server.get("/v1/system-card").json()
    assert before["model"]["name"] == "tiny-random"
    assert before["model"]["digest"].startswith("sha256:")
    command = [sys.executable, "-m", "dovetail.serve.cli", "eval", "prediction", "syntax", "--samples", "2"]
    environment = {**os.environ, "XDG_STATE_HOME": str(state)}
    subprocess.run([*command, "--server", str(server.base_url)], check=True, env=environment, capture_output=True)
    after = server.get("/v1/system-card").json()
    assert [each["suite"] for each in after["capabilities"]["measured"]] == ["prediction", "syntax"]
    assert after["capabilities"]["measured"][0]["metrics"][0]["n"] == 2
    assert ask(server).json()["system_fingerprint"] == after["fingerprint"] == before["fingerprint"]
