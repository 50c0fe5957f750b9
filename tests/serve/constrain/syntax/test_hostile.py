"""The worst texts that a search has found in each grammar (benchmarks/hostile.py --write): each costs nobody but itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate_process import GateProcess
from dovetail.serve.constrain.syntax.languages import LANGUAGES

WORST: dict[str, list[str]] = json.loads((Path(__file__).parent / "hostile.json").read_text())
PATHS = {
    "bash": "a.sh",
    "c-sharp": "a.cs",
    "javascript": "a.js",
    "python": "a.py",
    "ruby": "a.rb",
    "rust": "a.rs",
    "typescript": "a.ts",
}
INNOCENT = b"def f(a):\n    return a\n"


@pytest.fixture(scope="module")
def gates() -> Iterator[GateProcess]:
    process = GateProcess()
    yield process
    process.close()


def test_every_grammar_was_searched() -> None:
    assert set(WORST) == set(LANGUAGES)


@pytest.mark.parametrize("language", sorted(WORST))
def test_who_asks_behind_a_hostile_text_is_answered(gates: GateProcess, language: str) -> None:
    path = PATHS.get(language, f"a.{language}")
    hostile = [gates.open(path, (unit * 1000)[:1500].encode()) for unit in WORST[language]]
    innocent = gates.open("innocent.py", INNOCENT)
    assert innocent.ask([Change(0, 10, b"def g(a):\n")]).holds
    assert not innocent.ask([Change(0, 10, b"def g(a:\n")]).holds
    for gate in hostile:
        assert (gate.language is None) == (gate.unreadable is not None)
