"""Schemathesis: requests made from the OpenAPI document, valid and not; no answer of the real server is a 5xx."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.conftest import CACHE, Server, Workplace

CUT_SUMMARIES = "/v1/responses/compact"
"""Fails by design, with 500 ``summary_cut_off``, where a model rambles on to the server's --max-output-tokens."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_request_makes_the_server_fail(
    method: str, babbling: Server, workplace: Workplace, installed: Callable[[str], None]
) -> None:
    installed("schemathesis")
    program = str(CACHE / "schemathesis" / "bin" / "schemathesis")
    flags = [
        "--checks",
        "not_a_server_error",
        "--include-method",
        method,
        "--exclude-path",
        CUT_SUMMARIES,
        "--phases",
        "coverage,fuzzing",
    ]
    limits = ["--max-examples", "30", "--seed", "1", "--generation-database", "none", "--request-timeout", "60"]
    run = workplace.run(babbling, [program, "run", f"{babbling.url}/openapi.json", *flags, *limits, "--no-color"])
    assert run.status == 0, f"{run.output}\n{run.log[-3000:]}"
    assert " status=5" not in run.log, run.output
