"""Whatever a random model writes under the constraint is a valid edit, at every budget."""

from __future__ import annotations

import random

import pytest
from byte_pairs import spelled, vocabulary
from driver import generate
from samples import FILES, check_output

from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.types import EditSpec, SourceFile

FAVOURITES = [
    token
    for token in range(len(vocabulary()))
    if set(vocabulary().spelling(token) or b"?") <= set(b"\n=>") or b"REPLACE" in (vocabulary().spelling(token) or b"")
]


def _run(files: list[SourceFile], seed: int, budget: int, bias: float) -> tuple[bytes, int, list[tuple[str, bytes]]]:
    chance = random.Random(seed)
    markers = choose_markers(files)
    state = compile_edit(EditSpec(files=tuple(files), markers=markers), vocabulary())
    outcome = generate(state, vocabulary(), budget, chance, bias, favourites=FAVOURITES)
    output = spelled(outcome.tokens)
    return output, outcome.retreats, check_output(output, files, markers)


@pytest.mark.parametrize("path", sorted(FILES))
def test_one_file(path: str) -> None:
    finished = 0
    for seed in range(8):
        for bias in (0.0, 0.5, 0.95):
            _, _, changes = _run([FILES[path]], seed, random.Random(seed).choice([17, 120, 250]), bias)
            finished += bool(changes)
    assert finished, "no block was ever finished"


@pytest.mark.parametrize("seed", range(12))
def test_several_files(seed: int) -> None:
    chance = random.Random(seed)
    files = [FILES[path] for path in chance.sample(sorted(FILES), 4)]
    _run(files, seed, 250, chance.choice([0.3, 0.8, 0.97]))


@pytest.mark.parametrize("path", ["open.py", "a.go", "notes.txt"])
def test_every_budget(path: str) -> None:
    for budget in range(90):
        _run([FILES[path]], 7, budget, 0.9)
