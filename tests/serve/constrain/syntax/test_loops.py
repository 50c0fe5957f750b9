"""The loop in C and the one in Python: snapshot for snapshot the same, and neither led astray by bad snapshots."""

from __future__ import annotations

import random

import pytest
from conftest import Loops
from corruption import corrupted, pieces
from snippets import SOURCES

from dovetail.serve.constrain.syntax import native
from dovetail.serve.constrain.syntax.languages import LANGUAGES
from dovetail.serve.constrain.syntax.recogniser import State
from dovetail.serve.constrain.syntax.snapshot import START, Cells, UnclearError, decoded, encoded

AMBIGUOUS = {
    "cpp": b"int main() { x = a < b < c<d<e<f<g(h * i, (j)(k)(l)) > (m)> n; A<B<C<D<E<F>>>>> o; }",
    "javascript": b"x = (a, (b, (c, (d, (e, (f, (g, async (h, (i) => j))))))))",
    "bash": b"a | b | c | d | e | f | g $(h | i | j | k `l | m`) | n\n",
    "go": b"package p\nfunc f() { a[b](c[d](e[f](g[h](i[j](k))))) }\n",
    "c-sharp": b"class A { void F() { (a)((b)((c)((d)((e)(f))))); x = y is (g, (h, (i, (j, k)))); A<B<C<D>>> e; } }",
}


def compare(both: tuple[Loops, Loops], language: str, text: bytes, rng: random.Random) -> None:
    one: State | None
    other: State | None
    one, other = both[0].of(language).start(), both[1].of(language).start()
    for piece in pieces(text, rng, 14):
        one, other = one.feed(piece), other.feed(piece)
        if one is None or other is None:
            assert one is None and other is None, text
            return
        assert one.snapshot == other.snapshot, text
        if rng.random() < 0.1:
            assert one.accepts() == other.accepts(), text
    assert one.accepts() == other.accepts(), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_snapshots(both: tuple[Loops, Loops], language: str) -> None:
    rng = random.Random(10)
    for source in SOURCES[language]:
        compare(both, language, source.encode(), rng)
    for _ in range(6):
        compare(both, language, corrupted(rng.choice(SOURCES[language]).encode(), rng), rng)


@pytest.mark.parametrize("language", AMBIGUOUS)
def test_the_same_snapshots_where_much_is_ambiguous(both: tuple[Loops, Loops], language: str) -> None:
    compare(both, language, AMBIGUOUS[language], random.Random(11))


@pytest.mark.parametrize("language", AMBIGUOUS)
def test_ambiguity_does_not_multiply(loops: Loops, language: str) -> None:
    state: State | None = loops.of(language).start()
    for place in range(len(AMBIGUOUS[language])):
        state = state.feed(AMBIGUOUS[language][place : place + 1])
        assert state is not None and state.snapshot is not None
        assert len(decoded(state.snapshot, Cells()).versions) <= 16


@pytest.mark.parametrize("language", LANGUAGES)
def test_snapshots_are_written_as_they_are_read(fastest: Loops, language: str) -> None:
    rng = random.Random(12)
    content = SOURCES[language][0].encode()
    for _ in range(20):
        state = fastest.of(language).start().feed(content[: rng.randrange(len(content))])
        assert state is not None and state.snapshot is not None
        assert encoded(decoded(state.snapshot, Cells())) == state.snapshot


def test_a_bad_snapshot_is_refused_or_read_but_never_followed_out_of_bounds() -> None:
    library = native.library()
    if library is None:
        pytest.skip("the recogniser's library is not built")
    rng = random.Random(13)
    loop = native.Native("json", library)
    content = loop.feed(START, b'{"a": [1, {"b": "c')
    assert content is not None
    outcomes = set()
    for _ in range(3000):
        worse = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            worse[rng.randrange(len(worse))] = rng.choice((0, 1, 2, 5, 127, 255, rng.randrange(256)))
        if rng.random() < 0.3:
            del worse[rng.randrange(len(worse)) :]
        try:
            outcomes.add(type(loop.feed(bytes(worse), b"}")))
        except (ValueError, UnclearError) as error:
            outcomes.add(type(error))
    assert ValueError in outcomes


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_snapshots_for_long(both: tuple[Loops, Loops], language: str) -> None:
    rng = random.Random(14)
    for _ in range(400):
        compare(both, language, corrupted(rng.choice(SOURCES[language]).encode(), rng), rng)
