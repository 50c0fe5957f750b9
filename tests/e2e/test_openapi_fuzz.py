"""Schemathesis: requests made from the OpenAPI document, valid and not; no answer of the real server is a 5xx."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from e2e.conftest import CACHE, Run, Server, Workplace, serving

NO_HASTE = """import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict):
        case.body.pop("timeout", None)
"""
"""A request that asks for a timeout of no time at all gets its 504, which is no failure of the server."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_request_makes_the_server_fail(
    method: str, babbling: Server, workplace: Workplace, installed: Callable[[str], None]
) -> None:
    installed("schemathesis")
    run = fuzz(babbling, workplace, method, "--max-examples", "30")
    assert run.status == 0, f"{run.output}\n{run.log[-3000:]}"
    assert " status=5" not in run.log, run.output


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server that wants a key, and the key."""
    folder = tmp_path_factory.mktemp("governed")
    keys = str(folder / "keys")
    dovetail = [sys.executable, "-m", "dovetail.serve.cli"]
    made = subprocess.run(
        [*dovetail, "keys", "create", "a", "--keys", keys], capture_output=True, text=True, check=True
    )
    key = next(word for word in made.stdout.split() if word.startswith("dvt_"))
    command = [*dovetail, "serve", "--max-output-tokens", "16", "--docs", "--keys", keys]
    with serving(folder, lambda port, _: [*command, "--port", str(port)]) as server:
        yield server, key


def test_with_a_key_as_without(
    governed: tuple[Server, str], workplace: Workplace, installed: Callable[[str], None]
) -> None:
    installed("schemathesis")
    server, key = governed
    run = fuzz(server, workplace, "POST", "--max-examples", "5", "--header", f"authorization: Bearer {key}")
    assert run.status == 0, f"{run.output}\n{run.log[-3000:]}"
    assert " status=5" not in run.log and " status=401" not in run.log and " status=200" in run.log, run.output


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_its_key_a_server_answers_nothing(
    method: str, governed: tuple[Server, str], workplace: Workplace, installed: Callable[[str], None]
) -> None:
    """The document itself asks for a key, so it is read from a file."""
    installed("schemathesis")
    server, key = governed
    document = workplace.home / "openapi.json"
    document.write_text(httpx.get(f"{server.url}/openapi.json", headers={"authorization": f"Bearer {key}"}).text)
    run = fuzz(server, workplace, method, "--max-examples", "5", "--url", server.url, document=str(document))
    statuses = {word for word in run.log.split() if word.startswith("status=")}
    assert run.status == 0 and statuses <= {"status=401", "status=200"}, f"{run.output}\n{run.log[-3000:]}"
    answered = [line for line in run.log.splitlines() if "status=200" in line]
    own = [line for line in answered if "path=/openapi.json" in line]  # this test's question, with the key
    assert len(own) <= 1, own
    assert all(line in own or "path=/health" in line or "path=/ready" in line for line in answered), answered


def fuzz(server: Server, workplace: Workplace, method: str, *more: str, document: str = "") -> Run:
    (workplace.home / "hooks.py").write_text(NO_HASTE)
    program = str(CACHE / "schemathesis" / "bin" / "schemathesis")
    flags = ["--checks", "not_a_server_error", "--include-method", method, "--phases", "coverage,fuzzing"]
    limits = ["--seed", "1", "--generation-database", "none", "--request-timeout", "60", "--no-color"]
    command = ["env", f"PYTHONPATH={workplace.home}", "SCHEMATHESIS_HOOKS=hooks", program, "run"]
    return workplace.run(server, [*command, document or f"{server.url}/openapi.json", *flags, *limits, *more])
