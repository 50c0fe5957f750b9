"""What holds for all tests: a slow machine fails none of them; those that any engine has to pass run on the one that is named."""

from __future__ import annotations

import pytest
from engines import Engine, engine_named
from hypothesis import HealthCheck, settings

settings.register_profile("dovetail", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dovetail")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine", choices=("native", "vllm"), default="native", help="run the tests marked any_engine on it"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another engine than the native one, only what is marked runs."""
    if config.getoption("--engine") == "native":
        return
    left_out = [item for item in items if item.get_closest_marker("any_engine") is None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.get_closest_marker("any_engine") is not None]


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """The engine that tests marked any_engine run on."""
    return engine_named(request.config.getoption("--engine"))
