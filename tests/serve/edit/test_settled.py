"""What is said to stand of a growing output is never taken back, in whatever format, and is a valid answer by itself."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from byte_pairs import spelled, vocabulary
from driver import generate
from formats import NAMES, compiled, favourites
from samples import FILES

from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.types import EditFormat

GROWING = [name for name in NAMES if name != "unified_diff"]


def _stood(name: EditFormat, seed: int) -> tuple[str, str, int]:
    """What was told of an output of a random model before it ended, all of it, and how often it went back."""
    form = FORMATS[name]
    files = [FILES[path] for path in ("plain.py", "notes.txt", "a.json")]
    state, markers = compiled(name, files, operations=form.operations)
    told = ""

    def grown(tokens: Sequence[int]) -> None:
        nonlocal told
        text = spelled(list(tokens)).decode(errors="ignore")
        assert text.startswith(told), "something was taken back that was said to stand"
        stands = form.settled(text, len(told), files, markers)
        assert len(told) <= stands <= len(text)
        if stands > len(told):
            form.read(form.completed(text[:stands]), files, markers)
        told = text[:stands]

    outcome = generate(
        state, vocabulary(), 400, random.Random(seed), bias=0.7, favourites=favourites(name), grown=grown
    )
    return told, spelled(outcome.tokens).decode(), outcome.retreats


@pytest.mark.parametrize("name", GROWING)
def test_what_stands_is_never_taken_back(name):
    ends = [_stood(name, seed) for seed in range(8)]
    assert all(text.startswith(told) for told, text, _ in ends)
    assert any(told for told, _, _ in ends)
    assert any(back for _, _, back in ends)


def test_edits_whose_text_is_written_anew_stand_at_the_end_only():
    text = "```diff\ndiff --git a/a b/a\n@@ @@\n-x\n+y\n@@ @@\n"
    assert FORMATS["unified_diff"].settled(text, 0, [], compiled("unified_diff", [FILES["plain.py"]])[1]) == 0
