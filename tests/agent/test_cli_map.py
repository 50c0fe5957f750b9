"""``dovetail map`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from repositories import write
from typer.testing import CliRunner

from dovetail.agent.problems import FileProblem
from dovetail.serve.cli import app

FILES = {
    "shop/cart.py": "from shop.tax import rate\n\ndef total(x):\n    return rate(x)\n",
    "shop/tax.py": "def rate(x):\n    return x\n",
    "tests/test_tax.py": "from shop.tax import rate\n\ndef test_rate():\n    rate(1)\n",
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path / "repo", FILES)
    return tmp_path / "repo"


def asked(*arguments: str) -> str:
    outcome = CliRunner().invoke(app, ["map", *arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_the_map(repository: Path) -> None:
    assert asked(str(repository)).startswith("shop/tax.py:\n  def rate(x)\n")
    assert asked(str(repository), "--focus", "total").startswith("shop/cart.py:\n")
    assert "fits 1 tokens" in asked(str(repository), "--budget", "1")
    data = json.loads(asked(str(repository), "--json", "--budget", "30"))
    assert data["files"] == 3 and data["map"]["tokens"] <= 30 and "rate" in data["map"]["text"]


def test_callers_and_impact(repository: Path) -> None:
    text = asked(str(repository), "--callers", "rate", "--impact", "shop/tax.py")
    assert "exact: shop/cart.py:4 in total [call] return rate(x)" in text
    assert text.endswith("affected tests (1), nearest first:\n  tests/test_tax.py\n")
    data = json.loads(asked(str(repository), "--callers", "rate", "--impact", "rate", "--json"))
    assert data["callers"][0]["callers"][0]["certainty"] == "exact"
    assert [test["path"] for test in data["impact"]["tests"]] == ["tests/test_tax.py"]


def test_layers_and_patterns(repository: Path) -> None:
    write(
        repository,
        {"dovetail.toml": '[layers]\norder = ["tax", "cart"]\ntax = ["shop/tax.py"]\ncart = ["shop/cart.py"]\n'},
    )
    text = asked(str(repository), "--layers", "--patterns")
    assert "shop/cart.py:1: imports shop.tax (rate): layer cart lies below tax" in text
    data = json.loads(asked(str(repository), "--layers", "--patterns", "--json"))
    assert data["layers"]["declared"] and len(data["layers"]["violations"]) == 1 and data["patterns"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--callers", "nothing"], "nothing is not defined"), (["--impact", "x/y"], "neither a file")],
)
def test_what_is_unknown_is_said(repository: Path, arguments: list[str], why: str) -> None:
    with pytest.raises(FileProblem, match=why):
        asked(str(repository), *arguments)
