"""Whatever a random model writes in any format, within any budget and under any rule, is a valid edit."""

from __future__ import annotations

import random

import pytest
from byte_pairs import spelled, vocabulary
from driver import generate
from formats import NAMES, compiled, favourites, git_applied, landed
from samples import FILES

from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.types import EditFormat, FileOperation, ProtectedLines, SourceFile, SyntaxGating

OTHERS = [name for name in NAMES if name != "blocks"]


def _run(
    name: EditFormat,
    files: list[SourceFile],
    seed: int,
    budget: int,
    bias: float,
    syntax: SyntaxGating = "each",
    protected: tuple[ProtectedLines, ...] = (),
    operations: tuple[FileOperation, ...] = (),
) -> int:
    chance = random.Random(seed)
    state, markers = compiled(name, files, syntax=syntax, protected=protected, operations=operations)
    outcome = generate(state, vocabulary(), budget, chance, bias, favourites=favourites(name))
    output = spelled(outcome.tokens)
    after = landed(name, output, files, markers, syntax=syntax, protected=protected)
    expected = {file.path: file.content for _, file in after.pairs if file is not None}
    if after.patch:
        assert git_applied(files, after.patch) == expected
    return len(after.changed) + sum(file is None for _, file in after.pairs)


@pytest.mark.parametrize("path", sorted(FILES))
@pytest.mark.parametrize("name", OTHERS)
def test_one_file(name: EditFormat, path: str) -> None:
    finished = 0
    for seed in range(4):
        for bias in (0.0, 0.5, 0.9):
            finished += _run(name, [FILES[path]], seed, random.Random(seed).choice([17, 120, 200]), bias)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", NAMES)
def test_several_files_with_every_rule(name: EditFormat, seed: int) -> None:
    chance = random.Random(seed)
    files = [FILES[path] for path in chance.sample(sorted(FILES), 4)]
    protected = []
    for file in files[:2]:
        count = len(file.content.split("\n")) - file.content.endswith("\n")
        if file.content:
            first = chance.randint(1, count)
            protected.append((file.path, first, chance.randint(first, count)))
    syntax: SyntaxGating = chance.choice(["each", "final", "off"])
    operations = FORMATS[name].operations
    bias = chance.choice([0.2, 0.6, 0.9])
    _run(name, files, seed, 250, bias, syntax, tuple(protected), operations)


@pytest.mark.parametrize("name", NAMES)
def test_something_gets_finished(name: EditFormat) -> None:
    files = [FILES["notes.txt"], FILES["plain.py"], FILES["a.json"]]
    assert sum(_run(name, files, seed, 400, 0.7, operations=FORMATS[name].operations) for seed in range(12)) > 3


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("path", ["open.py", "notes.txt"])
def test_every_budget(name: EditFormat, path: str) -> None:
    for budget in range(0, 90, 3):
        _run(name, [FILES[path]], 7, budget, 0.8)
