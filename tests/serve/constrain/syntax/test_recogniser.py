"""The recogniser's verdicts: what can go on, what cannot, what ends, and what is said at limits."""

from __future__ import annotations

import random

import pytest
from conftest import Loops
from corruption import pieces
from hypothesis import given, settings
from hypothesis import strategies as st
from snippets import SOURCES

from dovetail.serve.constrain.syntax.languages import LANGUAGES
from dovetail.serve.constrain.syntax.recogniser import Recogniser, State, recogniser

ALIVE = {
    "python": [
        "x = (1 + ",
        "def f(a):\n    return [i for i in",
        "if x:\n    pass\nelse",
        "return return_",
        'x = f"a{b',
        "@dec\n",
    ],
    "javascript": ["a => ({", "`${`", "x = a ?", "return /[/", "class A { get"],
    "typescript": ["const x: Array<Map<string, ", "function f<T ext", "let a = <T,>(x"],
    "go": ["package main\nfunc f() {\n\tfor ", "package main\nvar x = `raw"],
    "rust": ["fn f<'a>(x: &'a ", 'let s = r#"raw "', "macro_rules! m { ($x:"],
    "bash": ["cat <<EOF\nanything ) ( }", "if true; then", "a | b | c | d | e | f | g | h | i | "],
    "ruby": ["x = <<~A + <<B\n", "foo do |a, ", "%w[a b"],
    "yaml": ["a: |\n  text", "- [1, {b: "],
    "html": ["<p>one<", "<script>if (a <"],
    "cpp": ["std::map<std::string, std::vector<std::pair<int, std::set<", "auto x = a<b<c<d<e<f<"],
    "json": ['{"a": [1, ', '{"a": "\\u00'],
}
DEAD = {
    "python": ["x = = 3", "foo(a b ", "def f(: ", "x = )", "x = 1 2 ", "f()) "],
    "javascript": ["a = ; b", "}", "if (a) else ", "x = )"],
    "typescript": ["let x: = ", "interface { "],
    "go": ["package main\nfunc f( {", "package main\n)"],
    "rust": ["fn f() -> { ) ", "let = "],
    "json": ['{"a" 1 ', "[1,,", "[}", '{"a": tru ', "{,"],
    "java": ["class A { void f( { ", "class { "],
    "css": ["a { b: c } }"],
}


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(language, text) for language, texts in table.items() for text in texts]


@pytest.mark.parametrize(("language", "text"), cases(ALIVE))
def test_what_can_go_on(loops: Loops, language: str, text: str) -> None:
    state = loops.of(language).start().feed(text.encode())
    assert state is not None and state.known


@pytest.mark.parametrize(("language", "text"), cases(DEAD))
def test_what_cannot(loops: Loops, language: str, text: str) -> None:
    assert loops.of(language).start().feed(text.encode()) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_whole_files_are_accepted_and_all_their_beginnings_alive(loops: Loops, language: str) -> None:
    for source in SOURCES[language]:
        state: State | None = loops.of(language).start()
        for piece in pieces(source.encode(), random.Random(1)):
            assert state is not None
            state = state.feed(piece)
        assert state is not None and state.accepts() is True


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_cut_of_every_file(fastest: Loops, language: str) -> None:
    for source in SOURCES[language]:
        content = source.encode()
        state = fastest.of(language).start()
        whole = state.feed(content)
        for place in range(0, len(content), 1 if fastest.native else 97):
            behind = state.feed(content[:place])
            assert behind is not None and behind.feed(content[place:]) == whole, content[:place]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_how_a_text_is_cut_changes_nothing(data: st.DataObject) -> None:
    language = data.draw(st.sampled_from(LANGUAGES))
    alphabet = st.sampled_from(list("ab1 \n\t(){}[]<>;:,.='\"`#$/*\\|&@-%é€\0"))
    source = data.draw(st.sampled_from(SOURCES[language])).encode()
    start = data.draw(st.integers(0, len(source)))
    text = source[:start] + data.draw(st.text(alphabet, max_size=30)).encode()
    cut = data.draw(st.integers(0, len(text)))
    state = recogniser(language).start()
    once, before = state.feed(text), state.feed(text[:cut])
    assert once == (None if before is None else before.feed(text[cut:]))


def test_a_state_is_not_changed_by_what_is_asked_of_it(loops: Loops) -> None:
    state = loops.of("python").start().feed(b"def f(a):\n    x = (")
    assert state is not None
    snapshot = state.snapshot
    assert state.feed(b"]") is None
    assert state.feed(b"1)\n") is not None
    assert state.accepts() is False
    assert state.snapshot == snapshot


def test_states_are_equal_where_the_future_is(loops: Loops) -> None:
    start = loops.of("python").start()
    one, other = start.feed(b"x = 1\ny = "), start.feed(b"if a:\n    pass\nzzz = 2\nb = ")
    assert one == other and hash(one) == hash(other)
    assert one != start.feed(b"if a:\n    b = ")


def test_a_token_is_judged_as_soon_as_nothing_can_prolong_it(loops: Loops) -> None:
    start = loops.of("javascript").start()
    assert start.feed(b"x = )") is None
    assert start.feed(b"x = 1 +") is not None  # It may become ++ or +=.
    assert start.feed(b"x = 1 2") is not None  # The 2 is not known to be a whole number.
    assert start.feed(b"x = 1 2 ") is None


def test_bytes_that_are_no_text(loops: Loops) -> None:
    start = loops.of("python").start()
    assert start.feed(b"\xef\xbb\xbfx = 1\n") is not None
    half = start.feed(b"x = '\xe2\x82")
    assert half is not None and half.feed(b"\xac'\n") is not None
    assert start.feed(b"x = \xff\xff y\n") is None


def test_what_is_beyond_a_limit_is_not_known(loops: Loops) -> None:
    state = loops.of("json").start().feed(b"[" * 40_000)
    assert state is not None and not state.known
    assert state.feed(b"nonsense") is state
    assert state.accepts() is None
    assert state != loops.of("json").unknown()


def test_large_texts_are_taken_in_pieces(fastest: Loops) -> None:
    state = fastest.of("json").start().feed(b"[" + b"1, " * 40_000 + b"1]")
    assert state is not None and state.accepts() is True


def test_an_unbuilt_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dovetail.serve.constrain.syntax.recogniser.library", lambda: None)
    assert Recogniser("json").native is False
    with pytest.raises(ValueError, match="not built"):
        Recogniser("json", native=True)
