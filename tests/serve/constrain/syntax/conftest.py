"""Makes snippets importable by the tests of this folder; runs a test with both versions of the inner loop."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

from dovetail.serve.constrain.syntax import native
from dovetail.serve.constrain.syntax.recogniser import Recogniser

sys.path.insert(0, str(Path(__file__).parent))


class Loops:
    """Recognisers of one version of the inner loop, made once per language."""

    def __init__(self, native: bool) -> None:
        self.native = native
        self.of = cache(lambda language: Recogniser(language, native))


_LOOPS = {"C": Loops(True), "python": Loops(False)}


@pytest.fixture(params=["C", "python"])
def loops(request: pytest.FixtureRequest) -> Loops:
    """Recognisers with the loop in C, and with the one in Python."""
    if request.param == "C" and native.library() is None:
        pytest.skip("the recogniser's library is not built")
    return _LOOPS[request.param]


@pytest.fixture
def fastest() -> Loops:
    """Recognisers with the loop in C where it is built."""
    return _LOOPS["C" if native.library() is not None else "python"]


@pytest.fixture
def both() -> tuple[Loops, Loops]:
    """The loop in C and the one in Python."""
    if native.library() is None:
        pytest.skip("the recogniser's library is not built")
    return _LOOPS["C"], _LOOPS["python"]
