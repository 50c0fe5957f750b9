"""The official Python packages, plain and with their streaming helpers, which hold a server to the letter of its protocol."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.conftest import Server, Workplace
from e2e.correct_model import NEW
from e2e.programs import MUST_CALL, PROGRAMS
from e2e.recipes import recipes
from e2e.test_agents import REFUSALS, assert_valid

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

AGENTS = "openai-agents (Python)"
each_program = pytest.mark.parametrize(("recipe", "program"), PROGRAMS.values(), ids=PROGRAMS)
each_api = pytest.mark.parametrize("api", [1, 2], ids=["responses", "chat"])


@pytest.fixture(autouse=True)
def sdks(installed: Callable[[str], None]) -> None:
    installed("sdks")


@each_program
def test_a_correct_model_edits_the_file(recipe: str, program: str, scripted: Server, workplace: Workplace) -> None:
    run = workplace.run_python(scripted, recipes()[recipe].programs[0], program)
    assert run.status == 0, str(run)
    assert run.source.startswith(NEW), str(run)
    assert_valid(run)
    if "TOOLS" in program:  # several turns, which send the model's thoughts back
        assert any(asked["thoughts"] for asked in run.asked), str(run)


@each_program
def test_a_babbling_model_does_not_break_the_protocol(
    recipe: str, program: str, babbling: Server, workplace: Workplace
) -> None:
    run = workplace.run_python(babbling, recipes()[recipe].programs[0], program)
    assert_valid(run)
    assert run.status == 0, str(run)


@pytest.mark.parametrize(("recipe", "program"), MUST_CALL.values(), ids=MUST_CALL)
def test_a_babbling_model_that_must_call_makes_valid_calls(
    recipe: str, program: str, babbling: Server, workplace: Workplace
) -> None:
    run = workplace.run_python(babbling, recipes()[recipe].programs[0], program)
    assert run.status == 0, str(run)
    assert_valid(run)


@each_api
def test_openai_agents_with_a_correct_model(api: int, scripted: Server, workplace: Workplace) -> None:
    programs = recipes()[AGENTS].programs
    run = workplace.run_python(scripted, programs[0], programs[api])
    assert run.status == 0, str(run)
    assert run.source.startswith(NEW), str(run)
    assert_valid(run)


@each_api
def test_openai_agents_with_a_babbling_model(api: int, babbling: Server, workplace: Workplace) -> None:
    """A cut response is an exception there, which says what cut it."""
    programs = recipes()[AGENTS].programs
    run = workplace.run_python(babbling, programs[0], programs[api])
    assert run.status == 0 or "reason='max_output_tokens'" in run.output, str(run)
    assert not REFUSALS.search(run.log), str(run)
