"""Runs of suites: kept sample by sample, taken up again, written so that a card reads them, compared."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from dovetail.agent.cli import app
from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.command import evaluate, show_comparison
from dovetail.agent.evaluate.run import Deployment, deployment_of, read_result, run
from dovetail.agent.evaluate.statistics import Metric, share
from dovetail.agent.problems import FileProblem, ServerProblem, ServerUnreachable

OF = Deployment("tiny", "fp_000000000001")


@dataclass
class Counting:
    """A suite that breaks at a task."""

    breaks_at: int | None = None
    tasks: Sequence[dict] = field(default_factory=lambda: [{"n": n} for n in range(8)])
    asked: list[int] = field(default_factory=list)
    name: str = "counting"
    about: str = "Counts."
    parallel: int = 1

    def ask(self, client: DovetailClient, task: dict) -> dict:
        if task["n"] == self.breaks_at:
            raise ServerProblem("The server answered 503.")
        self.asked.append(task["n"])
        return {"even": task["n"] % 2 == 0}

    def metrics(self, samples: Sequence[dict]) -> list[Metric]:
        return [share("even", [each["even"] for each in samples], "even ones")]


def measure(suite: Counting, folder: Path, of: Deployment = OF) -> Path:
    return run(suite, None, of, folder, 1, "dovetail eval counting", lambda done, total: None)  # type: ignore[arg-type]


def test_a_result_has_what_a_card_reads(tmp_path: Path) -> None:
    result = read_result(measure(Counting(), tmp_path))
    assert (result["suite"], result["model"], result["fingerprint"], result["complete"]) == (
        "counting",
        OF.model,
        OF.fingerprint,
        True,
    )
    assert result["metrics"][0]["value"] == 0.5
    assert result["metrics"][0]["n"] == 8


def test_a_run_that_broke_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(ServerProblem):
        measure(Counting(breaks_at=5), tmp_path)
    assert not list(tmp_path.glob("*.json"))
    partial = next(tmp_path.glob("*.samples.jsonl"))
    with partial.open("a") as file:
        file.write('{"task": 6, "sam')
    again = Counting()
    assert read_result(measure(again, tmp_path))["metrics"][0]["n"] == 8
    assert not set(again.asked) & {0, 1, 2, 3, 4}
    assert set(again.asked) >= {5, 6, 7}


def test_another_deployment_or_other_tasks_begin_anew(tmp_path: Path) -> None:
    with pytest.raises(ServerProblem):
        measure(Counting(breaks_at=5), tmp_path)
    for suite, of in ((Counting(), Deployment("tiny", "fp_000000000002")), (Counting(tasks=[{"n": 1}, {"n": 2}]), OF)):
        measure(suite, tmp_path, of)
        assert len(suite.asked) == len(suite.tasks)


def test_a_finished_run_is_run_again(tmp_path: Path) -> None:
    measure(Counting(), tmp_path)
    again = Counting()
    measure(again, tmp_path)
    assert len(again.asked) == 8


def test_results_are_compared_where_the_tasks_are_the_same(tmp_path: Path) -> None:
    one = measure(Counting(), tmp_path / "a")
    console = Console(record=True, width=200)
    show_comparison(one, one, console)
    assert "+0.0 points" in console.export_text()
    other = measure(Counting(tasks=[{"n": 1}]), tmp_path / "b")
    with pytest.raises(FileProblem, match="not the same tasks"):
        show_comparison(one, other, console)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(FileProblem, match="no result"):
        read_result(tmp_path / "x.json")


def test_figures_far_apart_are_more_than_chance(tmp_path: Path) -> None:
    paths = []
    for name, hits in (("a", 2), ("b", 50)):
        path = measure(Counting(), tmp_path / name)
        result = json.loads(path.read_text())
        metric = share("even", [True] * hits + [False] * (60 - hits), "even ones")
        path.write_text(json.dumps({**result, "metrics": [vars(metric)]}))
        paths.append(path)
    console = Console(record=True, width=200)
    show_comparison(*paths, console)
    assert "+80.0 points" in (text := console.export_text())
    assert "yes" in text


def served(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/ready":
        return httpx.Response(200, json={"server": "dovetail"})
    if request.url.path == "/v1/models":
        return httpx.Response(200, json={"data": [{"id": "tiny"}, {"id": "small"}]})
    if request.url.path == "/v1/system-card":
        beside = {"model": {"name": "small"}, "fingerprint": "fp_000000000010", "quantisation": {"kind": "int4"}}
        return httpx.Response(200, json={"fingerprint": "fp_000000000009", "beside": [beside]})
    body = json.loads(request.content)
    if body.get("suffix") is not None:
        return httpx.Response(400, json={"error": {"message": "no such tokens", "param": "suffix"}})
    return httpx.Response(200, json={"choices": [{"text": "    pass\n"}]})


def test_what_a_server_refuses_is_named_and_the_rest_is_measured(tmp_path: Path) -> None:
    with (
        DovetailClient("http://test", transport=httpx.MockTransport(served)) as client,
        pytest.raises(ServerProblem, match=r"infill: .*no such tokens"),
    ):
        evaluate(["infill", "syntax"], client, None, 3, 1, tmp_path, Console(quiet=True))
    (path,) = tmp_path.glob("*.json")
    result = read_result(path)
    assert (result["suite"], result["fingerprint"]) == ("syntax", "fp_000000000009")


def test_another_model_of_the_same_server(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            asked.append(json.loads(request.content)["model"])
        return served(request)

    with DovetailClient("http://test", transport=httpx.MockTransport(answer), model="small") as client:
        (path,) = evaluate(["syntax"], client, None, 2, 1, tmp_path, Console(quiet=True), "small")
        with pytest.raises(ServerProblem, match="no model 'large'; it serves tiny, small"):
            deployment_of(client, "large")
    result = read_result(path)
    assert (result["model"], result["fingerprint"], result["quantisation"]) == ("small", "fp_000000000010", "int4")
    assert result["command"].endswith("--model small")
    assert asked == ["small", "small"]


@pytest.fixture
def other_server() -> Iterator[str]:
    """A second server that listens, with a deployment and weights of its own."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = {"server": "dovetail", "data": [{"id": "tiny"}], "fingerprint": "fp_0000000000aa"}
            self.say({**told, "quantisation": {"kind": "int8"}})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.say({"choices": [{"text": "    pass\n"}]})

        def say(self, told: dict) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_two_servers_side_by_side(tmp_path: Path, other_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = DovetailClient.__init__

    def first_is_not_there(self: DovetailClient, url: str, **more: Any) -> None:
        transport = httpx.MockTransport(served) if url == "http://test" else None
        real(self, url, transport=transport, **more)

    monkeypatch.setattr(DovetailClient, "__init__", first_is_not_there)
    command = ["eval", "syntax", "--server", "http://test", "--against", other_server, "--samples", "2"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "A: tiny fp_000000000009\n" in done.output
    assert "B: tiny fp_0000000000aa, weights in int8\n" in done.output
    assert "+0.0 points" in done.output
    assert len(list(tmp_path.glob("syntax-fp_*.json"))) == 2


def test_a_server_without_a_card_and_none_at_all(tmp_path: Path) -> None:
    def bare(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error": {}}) if "card" in request.url.path else served(request)

    with DovetailClient("http://test", transport=httpx.MockTransport(bare)) as client:
        assert deployment_of(client) == Deployment("tiny", "unknown")
    gone = httpx.MockTransport(lambda request: httpx.Response(503, json={}))
    with DovetailClient("http://test", transport=gone) as client, pytest.raises(ServerUnreachable):
        deployment_of(client, seconds=0)
