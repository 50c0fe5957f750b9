"""Schemathesis: requests made from the OpenAPI document, valid and not; no answer of the real server is a 5xx."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.conftest import CACHE, Server, Workplace

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
    (workplace.home / "hooks.py").write_text(NO_HASTE)
    program = str(CACHE / "schemathesis" / "bin" / "schemathesis")
    flags = [
        "--checks",
        "not_a_server_error",
        "--include-method",
        method,
        "--phases",
        "coverage,fuzzing",
    ]
    limits = ["--max-examples", "30", "--seed", "1", "--generation-database", "none", "--request-timeout", "60"]
    command = ["env", f"PYTHONPATH={workplace.home}", "SCHEMATHESIS_HOOKS=hooks", program]
    run = workplace.run(babbling, [*command, "run", f"{babbling.url}/openapi.json", *flags, *limits, "--no-color"])
    assert run.status == 0, f"{run.output}\n{run.log[-3000:]}"
    assert " status=5" not in run.log, run.output
