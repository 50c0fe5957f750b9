"""Checkpoints: the state at any place, whether the rest parses behind a change, and the checkpoints of a changed text."""

from __future__ import annotations

import random
import re

import pytest
from conftest import Loops
from corruption import corrupted
from snippets import SOURCES

from dovetail.serve.constrain.syntax.change import Change, changed
from dovetail.serve.constrain.syntax.checkpoints import Checkpoints
from dovetail.serve.constrain.syntax.languages import LANGUAGES
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.constrain.syntax.recogniser import State


def valid(language: str, text: bytes) -> bool:
    return not parse(language, text).root_node.has_error


def long_text(language: str) -> bytes:
    source = SOURCES[language][0].encode()
    return source if language in ("json", "yaml") else source * 4


def changes(text: bytes, rng: random.Random, count: int) -> list[Change]:
    """Whole lines that become others, in order."""
    starts = [0, *(found.end() for found in re.finditer(rb"\n", text))]
    cuts = sorted(rng.sample(range(len(starts)), 2 * count))
    made = []
    for first, last in zip(cuts[::2], cuts[1::2], strict=True):
        last = min(last, first + 4)
        old = text[starts[first] : starts[last]]
        new = corrupted(old, rng, 1) if rng.random() < 0.6 else old.replace(b"a", b"bb")
        made.append(Change(starts[first], starts[last], new if new.endswith(b"\n") or not new else new + b"\n"))
    return made


def outcome(checkpoints: Checkpoints, change: Change) -> bool | None:
    state = checkpoints.before(change.start).feed(change.replacement)
    return False if state is None else checkpoints.rejoins(state, change.end)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_rest_of_the_file(fastest: Loops, language: str) -> None:
    rng, text = random.Random(20), long_text(language)
    checkpoints = Checkpoints(fastest.of(language), text)
    assert checkpoints.valid
    for _ in range(60 if fastest.native else 6):
        (change,) = changes(text, rng, 1)
        assert outcome(checkpoints, change) == valid(language, changed(text, [change])), change


def test_a_change_at_either_end(loops: Loops) -> None:
    text = b"a = 1\nb = 2\n"
    checkpoints = Checkpoints(loops.of("python"), text)
    assert outcome(checkpoints, Change(0, 6, b"")) is True
    assert outcome(checkpoints, Change(6, 12, b"(c\n")) is False
    assert outcome(checkpoints, Change(6, 12, b"c")) is True
    assert outcome(checkpoints, Change(0, 12, b"")) is True
    assert outcome(checkpoints, Change(12, 12, b"if x:\n    y\n")) is True
    assert outcome(Checkpoints(loops.of("python"), b""), Change(0, 0, b"x = 1")) is True


def test_a_change_that_reaches_to_the_end(loops: Loops) -> None:
    text = b"int a;\n" * 400
    checkpoints = Checkpoints(loops.of("c"), text)
    assert outcome(checkpoints, Change(7, 14, b"/* open\n")) is False
    assert outcome(checkpoints, Change(7, 14, b"int f() {\n")) is False
    assert outcome(checkpoints, Change(7, 14, b"// int\n")) is True


def test_the_state_does_not_depend_on_what_was_asked_before(fastest: Loops) -> None:
    rng, text = random.Random(21), long_text("python") * 4
    start = fastest.of("python").start()
    checkpoints = Checkpoints(fastest.of("python"), text)
    for _ in range(60):
        place = rng.randrange(len(text) + 1)
        assert checkpoints.before(place) == start.feed(text[:place])


def test_a_text_with_errors(loops: Loops) -> None:
    text = b"a = 1\nb = = 2\nc = 3\n"
    checkpoints = Checkpoints(loops.of("python"), text)
    assert not checkpoints.valid
    assert checkpoints.before(6).known
    assert not checkpoints.before(14).known
    after = checkpoints.before(14).feed(b"anything ) goes\n")
    assert after is not None and checkpoints.rejoins(after, 14) is None
    repaired = checkpoints.before(6).feed(b"b = 2\n")
    assert repaired is not None and checkpoints.rejoins(repaired, 14) is True
    elsewhere = checkpoints.before(0).feed(b"a = 2\n")
    assert elsewhere is not None and checkpoints.rejoins(elsewhere, 6) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_checkpoints_of_a_changed_text(fastest: Loops, language: str) -> None:
    rng, text = random.Random(22), long_text(language)
    recogniser = fastest.of(language)
    checkpoints = Checkpoints(recogniser, text)
    checkpoints.before(len(text) // 2)
    tried = 0
    while tried < (12 if fastest.native else 1):
        made = changes(text, rng, 2)
        edited = changed(text, made)
        if not valid(language, edited):
            continue
        tried += 1
        shared, fresh = checkpoints.edited(made), Checkpoints(recogniser, edited)
        assert shared.text == edited
        for _ in range(8):
            place = rng.randrange(len(edited) + 1)
            assert shared.before(place) == fresh.before(place)
        (later,) = changes(edited, rng, 1)
        assert outcome(shared, later) == valid(language, changed(edited, [later]))


def test_no_change_gives_the_same_checkpoints(fastest: Loops) -> None:
    checkpoints = Checkpoints(fastest.of("json"), b"[]")
    assert checkpoints.edited([]) is checkpoints


def test_the_caller_may_know_that_the_text_is_valid(fastest: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("dovetail.serve.constrain.syntax.checkpoints.parse")
    checkpoints = Checkpoints(fastest.of("json"), b"[\n1\n]", valid=True)
    state: State | None = checkpoints.before(2).feed(b"2\n")
    assert state is not None and checkpoints.rejoins(state, 4) is True
