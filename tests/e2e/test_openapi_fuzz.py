"""Schemathesis: requests made from the OpenAPI document, valid and not; no answer is a 5xx, whatever is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.conftest import CACHE, Server, Workplace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_request_makes_the_server_fail(
    method: str, scripted: Server, workplace: Workplace, installed: Callable[[str], None]
) -> None:
    installed("schemathesis")
    program = str(CACHE / "schemathesis" / "bin" / "schemathesis")
    flags = ["--checks", "not_a_server_error", "--include-method", method, "--phases", "coverage,fuzzing"]
    limits = ["--max-examples", "30", "--seed", "1", "--generation-database", "none", "--request-timeout", "60"]
    run = workplace.run(scripted, [program, "run", f"{scripted.url}/openapi.json", *flags, *limits, "--no-color"])
    assert run.status == 0, f"{run.output}\n{run.log[-3000:]}"
    assert " status=5" not in run.log, run.output
