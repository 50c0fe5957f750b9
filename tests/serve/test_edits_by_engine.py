"""The embedded model over HTTP, on any engine: edits in every format, at every budget, streamed, held to a policy; JSON; and what
a request may say of its sampling, its log probabilities, its priority and its end."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from engines import Engine
from peft_adapter import write_adapter

from dovetail.models.embedded import WEIGHTS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # edit_checker

from edit_checker import Rules, faults

pytestmark = pytest.mark.any_engine

PYTHON = "import os\n\n\ndef add(a, b):\n    return a + b\n\n\ndef total(values):\n    return sum(values)\n"
WINDOWS = "def scale(x):\r\n    return x * 2\r\n"
CONFIG = '{\n  "name": "app",\n  "port": 80,\n  "tags": ["a", "b"]\n}'
FILES = {"calc.py": PYTHON, "scale.py": WINDOWS, "app.json": CONFIG}
PLACES = 4
FORMATS = ("blocks", "apply_patch", "unified_diff", "whole_file", "str_replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    adapter = write_adapter(tmp_path_factory.mktemp("adapters") / "tuned", WEIGHTS, rank=8)
    flags = ("--lora", f"tuned={adapter}", "--max-num-seqs", str(PLACES))
    with serving(engine, tmp_path_factory.mktemp("state"), *flags) as client:
        yield client


@contextmanager
def serving(engine: Engine, state: Path, *flags: str) -> Iterator[httpx.Client]:
    port = free_port()
    command = [sys.executable, "-m", "dovetail.serve.cli", "serve", "--port", str(port), "--max-model-len", "4096"]
    process = subprocess.Popen([*command, *engine.flags, *flags], env={**os.environ, "XDG_STATE_HOME": str(state)})
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
        try:
            eventually(lambda: is_ready(client, process), engine.start_s)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def is_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server has ended"
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def body_of(files: dict[str, str], **more: Any) -> dict[str, Any]:
    named = [{"path": path, "content": content} for path, content in files.items()]
    return {"instruction": "Rename the function add to plus", "files": named, "max_tokens": 160, **more}


def edited(server: httpx.Client, files: dict[str, str], rules: Rules, **more: Any) -> dict[str, Any]:
    """The answer, judged by a checker that shares no code with the server."""
    body = body_of(files, format=rules.format, syntax=rules.syntax, **more)
    response = server.post("/v1/edits", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert not faults(files, rules, answer), answer
    return answer


def test_the_model_does_what_it_was_trained_for(server: httpx.Client) -> None:
    answer = edited(server, {"calc.py": PYTHON}, Rules(), temperature=0.0)
    assert answer["finish_reason"] == "stop"
    assert answer["edits"], "it is trained for this very edit"
    assert answer["files"][0]["content"] != PYTHON
    assert answer["constraint"]["syntax"]["calc.py"] == "compiler"


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_at_a_temperature_that_makes_it_babble(server: httpx.Client, format: str) -> None:
    for seed in range(3):
        edited(server, FILES, Rules(format=format), temperature=1.5, seed=seed)


@pytest.mark.parametrize("format", ["blocks", "apply_patch"])
def test_an_answer_is_complete_at_any_budget(server: httpx.Client, format: str) -> None:
    for budget in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        answer = edited(server, FILES, Rules(format=format), temperature=0.9, seed=1, max_tokens=budget)
        assert answer["usage"]["completion_tokens"] <= budget


@pytest.mark.parametrize("format", FORMATS)
def test_a_chat_may_be_an_edit(server: httpx.Client, format: str) -> None:
    """What its stream has told is never taken back, and comes to what is answered whole."""
    files = {"calc.py": PYTHON, "app.json": CONFIG}
    named = [{"path": path, "content": content} for path, content in files.items()]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rename the function add to plus"},
    ]
    for temperature, seed in ((0.0, 0), (1.5, 1), (1.5, 2)):
        ask = {"messages": messages, "edits": {"files": named, "format": format}, "max_tokens": 160, "seed": seed}
        whole = server.post("/v1/chat/completions", json={**ask, "temperature": temperature})
        assert whole.status_code == 200, whole.text
        [choice] = whole.json()["choices"]
        told = choice["dovetail"]["edits"]
        answer = {**told, "text": choice["message"]["content"], "finish_reason": choice["finish_reason"]}
        assert not faults(files, Rules(format=format), {**answer, "usage": whole.json()["usage"]}), answer
        stream = server.post("/v1/chat/completions", json={**ask, "temperature": temperature, "stream": True})
        chunks = [json.loads(line.removeprefix("data: ")) for line in stream.text.split("\n\n") if line[6:7] == "{"]
        assert "".join(each["choices"][0]["delta"].get("content", "") for each in chunks) == answer["text"]
        assert chunks[-1]["choices"][0]["dovetail"]["edits"]["files"] == told["files"]


def test_streamed_and_whole_agree(server: httpx.Client) -> None:
    body = body_of({"calc.py": PYTHON}, temperature=0.0)
    whole = server.post("/v1/edits", json=body).json()
    streamed = server.post("/v1/edits", json={**body, "stream": True}).text
    completed = json.loads(streamed.strip().split("\n\n")[-1].split("data: ", maxsplit=1)[1])
    for key in ("edits", "files", "patch", "finish_reason", "text"):
        assert completed[key] == whole[key]


def test_protected_lines_and_a_policy_hold(server: httpx.Client) -> None:
    protected = [{"path": "calc.py", "first_line": 1, "last_line": 5}]
    for seed in range(3):
        more = {
            "protected": protected,
            "policy": {"imports": [{"id": "no-shell", "paths": ["**"], "forbid": ["subprocess"]}]},
        }
        answer = edited(server, {"calc.py": PYTHON}, Rules(), temperature=1.2, seed=seed, **more)
        after = next((file["content"] for file in answer["files"]), PYTHON)
        assert after.splitlines()[:5] == PYTHON.splitlines()[:5]
        assert "subprocess" not in after


def test_a_schema_holds_and_is_logged(server: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"level": {"enum": ["low", "high"]}, "steps": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["level", "steps"],
        "additionalProperties": False,
    }
    asked = {
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}},
        "max_tokens": 120,
        "logprobs": True,
        "top_logprobs": 2,
    }
    for seed in range(3):
        answer = server.post("/v1/chat/completions", json={**asked, "seed": seed, "temperature": 1.0}).json()
        [choice] = answer["choices"]
        found = json.loads(choice["message"]["content"])
        assert found["level"] in ("low", "high") and 0 <= found["steps"] <= 9
        assert len(choice["logprobs"]["content"]) == answer["usage"]["completion_tokens"]
        assert all(len(each["top_logprobs"]) == 2 for each in choice["logprobs"]["content"])


def test_a_prediction_is_counted_or_said_to_be_ignored(server: httpx.Client, engine: Engine) -> None:
    prediction = {"type": "content", "content": PYTHON}
    asked = {"messages": [{"role": "user", "content": PYTHON}], "prediction": prediction, "max_tokens": 30}
    response = server.post("/v1/chat/completions", json=asked)
    details = response.json()["usage"]["completion_tokens_details"]
    ignored = response.headers.get("x-dovetail-ignored", "")
    if engine.name == "native":
        assert "prediction" not in ignored
    else:
        assert "prediction" in ignored
        assert (details["accepted_prediction_tokens"], details["rejected_prediction_tokens"]) == (0, 0)


def test_a_prefix_that_was_computed_before_is_said_to_be_cached(server: httpx.Client) -> None:
    asked = {"prompt": PYTHON * 8, "max_tokens": 2, "temperature": 0.0}
    server.post("/v1/completions", json=asked)
    usage = server.post("/v1/completions", json=asked).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 100
    salted = server.post("/v1/completions", json={**asked, "cache_salt": "another"}).json()["usage"]
    assert salted["prompt_tokens_details"]["cached_tokens"] == 0


def test_an_adapter_answers_otherwise_and_its_edits_fit_too(server: httpx.Client) -> None:
    asked = {"prompt": PYTHON, "max_tokens": 20, "temperature": 0.0, "ignore_eos": True}
    plain, tuned = (
        server.post("/v1/completions", json={**asked, **named}).json()["choices"][0]["text"]
        for named in ({}, {"model": "tuned"})
    )
    assert plain != tuned
    edited(server, FILES, Rules(), model="tuned", temperature=1.0, seed=1, max_tokens=60)


def completed(server: httpx.Client, **asked: Any) -> dict[str, Any]:
    body = {"prompt": PYTHON, "max_tokens": 16, "temperature": 1.5, "ignore_eos": True, "logprobs": 3, **asked}
    answer = server.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def tokens(server: httpx.Client, **asked: Any) -> list[str]:
    found: list[str] = completed(server, **asked)["choices"][0]["logprobs"]["tokens"]
    return found


def metric(server: httpx.Client, name: str) -> float:
    lines = server.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"dovetail_engine_{name}"))


def steps_stand_still(server: httpx.Client) -> bool:
    steps = metric(server, "steps_total")
    time.sleep(0.3)
    return metric(server, "steps_total") == steps


def test_sampling_is_as_it_was_asked_for(server: httpx.Client) -> None:
    assert tokens(server, seed=5) == tokens(server, seed=5)
    assert tokens(server, seed=5) != tokens(server, seed=6)
    likeliest = tokens(server, temperature=0.0)
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        assert tokens(server, seed=7, **narrow) == likeliest
    [forced] = set(tokens(server, logit_bias={"300": 100.0}))
    again = tokens(server, logit_bias={"300": 100.0}, frequency_penalty=2.0, max_tokens=120)
    assert set(again) != {forced}, "each time it comes it is less likely"
    text = completed(server, temperature=0.0)["choices"][0]["text"]
    stopped = completed(server, temperature=0.0, stop=[text[5:8]])["choices"][0]
    assert stopped["text"] == text[: text.index(text[5:8])] and stopped["finish_reason"] == "stop"


def test_log_probabilities_are_those_of_the_model(server: httpx.Client) -> None:
    told = completed(server, temperature=0.0)["choices"][0]["logprobs"]
    for token, logprob, top in zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True):
        assert len(top) == 3
        assert max(top.values()) == pytest.approx(logprob) == pytest.approx(top[token])
        assert sum(map(math.exp, top.values())) <= 1.0001


def test_the_urgent_do_not_wait_for_those_who_came_before(server: httpx.Client) -> None:
    done: list[str] = []

    def ask(name: str, priority: int, length: int) -> None:
        completed(server, priority=priority, max_tokens=length)
        done.append(name)

    with ThreadPoolExecutor(PLACES + 4) as pool:
        asked = [pool.submit(ask, "long", 0, 400) for _ in range(PLACES)]
        eventually(lambda: metric(server, "running") == PLACES, 60)
        asked += [pool.submit(ask, "patient", 5, 40) for _ in range(3)]
        eventually(lambda: metric(server, "waiting") == 3, 60)
        asked.append(pool.submit(ask, "urgent", -5, 2))
        for each in asked:
            each.result(300)
    assert done.index("urgent") < done.index("patient")


def test_a_client_that_leaves_gives_its_place_back(server: httpx.Client) -> None:
    eventually(lambda: metric(server, "running") == 0, 60)
    steps, cancelled = metric(server, "steps_total"), metric(server, 'finished_total{reason="cancelled"}')
    body = {"prompt": PYTHON, "max_tokens": 3000, "temperature": 1.5, "ignore_eos": True, "stream": True}
    with server.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.iter_lines()  # which is kept: dropped, it would close the connection
        next(lines)
        eventually(lambda: metric(server, "running") == 1, 60)
    eventually(lambda: metric(server, "running") == 0, 60)
    assert metric(server, 'finished_total{reason="cancelled"}') == cancelled + 1
    eventually(lambda: steps_stand_still(server), 60)
    assert metric(server, "steps_total") < steps + 2000, "the engine did not go on without it"


def test_what_the_engine_did_is_counted(server: httpx.Client) -> None:
    names = ("steps_total", "prompt_tokens_total", "generated_tokens_total", 'finished_total{reason="length"}')
    before = [metric(server, name) for name in names]
    usage = completed(server, max_tokens=9, cache_salt="counted")["usage"]
    eventually(lambda: metric(server, names[-1]) == before[-1] + 1, 60)
    steps, prompt, generated, _ = (metric(server, name) - was for name, was in zip(names, before, strict=True))
    assert steps >= 1
    assert (prompt, generated) == (usage["prompt_tokens"], 9)
    assert 0 < metric(server, "kv_blocks_free ") <= metric(server, "kv_blocks ")


@pytest.mark.parametrize("flags", [("--tensor-parallel-size", "2"), ("--data-parallel-size", "2")])
def test_a_model_spread_over_processes_keeps_its_promises(
    engine: Engine, server: httpx.Client, tmp_path: Path, flags: tuple[str, str]
) -> None:
    if engine.name == "native":
        pytest.skip("the native engine is one process")
    files = {"calc.py": PYTHON}
    alone = edited(server, files, Rules(), temperature=0.0)
    with serving(engine, tmp_path, *flags) as spread, ThreadPoolExecutor(4) as pool:
        assert edited(spread, files, Rules(), temperature=0.0)["files"] == alone["files"]
        asked = [pool.submit(edited, spread, FILES, Rules(), temperature=1.5, seed=seed) for seed in range(4)]
        for each in asked:
            each.result(300)
        eventually(lambda: metric(spread, "running") == 0, 60)
