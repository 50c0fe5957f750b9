"""The recogniser says what tree-sitter says, in every grammar: of whole files, corrupted ones, and what babble makes of them."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

import pytest
from conftest import Loops
from corruption import PIECES, corrupted, pieces
from snippets import SOURCES

from dovetail.serve.constrain.syntax.languages import LANGUAGES
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.constrain.syntax.recogniser import Recogniser, State

STANDARD_LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def valid(language: str, text: bytes) -> bool:
    return not parse(language, text).root_node.has_error


def verdict(recogniser: Recogniser, text: bytes, rng: random.Random, longest: int = 200) -> bool | None:
    state: State | None = recogniser.start()
    for piece in pieces(text, rng, longest):
        state = state.feed(piece)
        if state is None:
            return False
    return state.accepts()


def agree(recogniser: Recogniser, rng: random.Random, count: int, most: int = 4) -> None:
    language = recogniser.language
    unknown = 0
    for _ in range(count):
        text = corrupted(rng.choice(SOURCES[language]).encode(), rng, most)
        found = verdict(recogniser, text, rng)
        unknown += found is None
        assert found is None or found == valid(language, text), text
    assert unknown <= count // 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_snippets_are_valid(language: str) -> None:
    assert all(valid(language, source.encode()) for source in SOURCES[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_corrupted_files(fastest: Loops, language: str) -> None:
    agree(fastest.of(language), random.Random(2), 150 if fastest.native else 15)


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_place_corrupted(fastest: Loops, language: str) -> None:
    agree(fastest.of(language), random.Random(3), 150 if fastest.native else 15, most=1)


def test_the_standard_library(fastest: Loops) -> None:
    rng = random.Random(4)
    for path in rng.sample(STANDARD_LIBRARY, 40 if fastest.native else 2):
        text = path.read_bytes()
        assert verdict(fastest.of("python"), text, rng, 5000) == valid("python", text), path


NESTS = (
    ("cpp", "void f() { ", "A<", "B", ">", " o; }"),
    ("cpp", "int main() { ", "f(a * b, ", "c", ")", "; }"),
    ("cpp", "bool x = ", "a < ", "b", "", ";"),
    ("c", "int main() { x = ", "(a)*", "b", "", "; }"),
    ("c-sharp", "class A { void F() { ", "(a)(", "b", ")", "; } }"),
    ("c-sharp", "class A { void F() { x = y is ", "(a, ", "b", ")", "; } }"),
    ("javascript", "x = ", "(a, ", "b", ")", ""),
    ("javascript", "x = ", "async (", "b", ")", ""),
    ("typescript", "x = ", "(a = (b) ? ", "c", " : d)", ""),
    ("typescript", "x = ", "f<g<", "h", ">>", "(1)"),
    ("java", "class A { void f() { x = ", "(a) + ", "b", "", "; } }"),
    ("go", "package p\nfunc f() { ", "a[b](", "c", ")", " }"),
    ("php", "<?php ", "[$a, ", "$b", "]", " = $c;"),
    ("bash", "", "a | ", "b", "", "\n"),
    ("python", "x = ", "(", "a", ",)", "\n"),
)


@pytest.mark.parametrize(("language", "head", "opened", "middle", "closed", "tail"), NESTS)
def test_nested_ambiguity(
    fastest: Loops, language: str, head: str, opened: str, middle: str, closed: str, tail: str
) -> None:
    """Each level could be read in two ways: no level may cost twice the one before."""
    text = (head + opened * 25 + middle + closed * 25 + tail).encode()
    assert verdict(fastest.of(language), text, random.Random(1)) is True
    assert valid(language, text)


def babble(state: State, rng: random.Random, words: list[bytes], length: int) -> bytes:
    """Random words, each of them allowed."""
    made = []
    for _ in range(length):
        for _ in range(30):
            word = rng.choice(words)
            after = state.feed(word)
            if after is not None:
                state = after
                made.append(word)
                break
    return b"".join(made)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_dead_is_in_no_file(fastest: Loops, language: str) -> None:
    """A refused word never begins a continuation that tree-sitter accepts: tried with the rest of the true file."""
    rng, recogniser = random.Random(5), fastest.of(language)
    content = rng.choice(SOURCES[language]).encode()
    for _ in range(60 if fastest.native else 10):
        place = rng.randrange(len(content))
        state = recogniser.start().feed(content[:place])
        assert state is not None
        word = rng.choice(PIECES)
        if state.feed(word) is None:
            for rest in (content[place:], content[place + len(word) :], b"", b"\n"):
                assert not valid(language, content[:place] + word + rest)


@pytest.mark.parametrize("language", LANGUAGES)
def test_babble_that_is_accepted_is_valid(fastest: Loops, language: str) -> None:
    rng, recogniser = random.Random(6), fastest.of(language)
    content = rng.choice(SOURCES[language]).encode()
    words = (
        [word for word in content.split(b" ") if word] + [piece for piece in PIECES if piece != b"\x00"] + [b" ", b"\n"]
    )
    for _ in range(6 if fastest.native else 1):
        text = babble(recogniser.start(), rng, words, 40)
        state = recogniser.start().feed(text)
        assert state is not None
        accepted = state.accepts()
        assert accepted is None or accepted == valid(language, text), text


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("language", LANGUAGES)
def test_corrupted_files_for_long(fastest: Loops, language: str) -> None:
    agree(fastest.of(language), random.Random(7), 20_000)
    agree(fastest.of(language), random.Random(8), 20_000, most=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_standard_library(fastest: Loops) -> None:
    rng = random.Random(9)
    for path in STANDARD_LIBRARY:
        text = path.read_bytes()
        assert verdict(fastest.of("python"), text, rng, 5000) == valid("python", text), path
        for _ in range(5):
            worse = corrupted(text, rng, 1)
            assert verdict(fastest.of("python"), worse, rng, 5000) == valid("python", worse), path
