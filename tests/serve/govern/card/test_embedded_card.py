"""The card of the embedded model's deployment, as its running server tells it, against both schemas, with something measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cyclonedx_schema import bill_validator
from jsonschema import Draft202012Validator
from rich.console import Console

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.command import evaluate
from dovetail.serve.config.sources import load_config
from dovetail.serve.server_process import start_server_process

CARD = "/v1/system-card"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("card")
    settings = load_config({"port": 0, "threads": 1, "log_level": "warning", "card": str(folder)}, {})
    handle = start_server_process(settings, lambda share, stage: None)
    try:
        with DovetailClient(handle.url) as client:
            evaluate(
                ["edits"],
                client,
                Path(__file__).parents[4] / "agent",
                4,
                1,
                folder / "evaluations",
                Console(quiet=True),
            )
        with httpx.Client(base_url=handle.url, timeout=30) as client:
            yield client
    finally:
        handle.stop()


def test_it_keeps_to_the_schema_that_it_publishes(served: httpx.Client) -> None:
    card = served.get(CARD).json()
    schema = served.get(f"{CARD}/schema").json()
    Draft202012Validator.check_schema(schema)
    assert [each.message for each in Draft202012Validator(schema).iter_errors(card)] == []
    assert card["model"]["name"] == "dovetail-embedded" and card["model"]["licence"] == "Apache-2.0"
    assert card["model"]["digest"].startswith("sha256:") and card["stale"] is False
    shares = [each for each in card["capabilities"]["measured"][0]["metrics"] if each["n"]]
    assert shares and all(each["low"] <= each["value"] <= each["high"] for each in shares)


def test_its_bill_of_materials_keeps_to_the_schema_of_cyclonedx(served: httpx.Client) -> None:
    bill = served.get(CARD, params={"format": "cyclonedx"}).json()
    assert [each.message for each in bill_validator().iter_errors(bill)] == []
    assert bill["components"][0]["name"] == "dovetail-embedded"


@pytest.mark.parametrize("form", ["markdown", "html", "blocks"])
def test_it_has_other_forms(served: httpx.Client, form: str) -> None:
    said = served.get(CARD, params={"format": form})
    assert said.status_code == 200 and "dovetail-embedded" in said.text
