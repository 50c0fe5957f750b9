"""The grammars' external scanners: code of others, called with what they wrote themselves and never beyond a bound.

In a process of their own: a scanner that crashes fails a test here, and is one to leave out of languages.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Loops
from snippets import SOURCES

from dovetail.serve.constrain.syntax.languages import LANGUAGES
from dovetail.serve.constrain.syntax.lexing import PROBES, TextLexer
from dovetail.serve.constrain.syntax.tables import NO_LEX, Tables

DEEP = {
    "python": "".join(" " * depth + "if x:\n" for depth in range(300)),
    "javascript": "x = " + "`${" * 400,
    "ruby": 'x = "#{' * 300 + "\n" + "".join(f"<<A{number}, " for number in range(200)) + "\n",
    "php": "<?php $x = " + '"{$a["' * 300 + "".join(f"<<<A{number}\n{{$b[" for number in range(100)),
    "bash": "".join(f"cat <<A{number} <<B{number}\n$(" for number in range(200)),
    "c-sharp": "class A { string s = " + '$"{' * 400,
    "html": "".join(f"<tag-{number}>" for number in range(600)),
    "yaml": "".join("  " * depth + "- a:\n" for depth in range(400)),
    "rust": "/*" * 300 + "*/" * 299 + " r" + "#" * 300 + '"x"',
    "cpp": 'auto x = R"' + "d" * 300 + "(x",
    "css": "a { b: c" * 300,
    "toml": 'a = """' + '"' * 300,
    "go": "package p\nvar x = " + "f(" * 300,
}

CHILD = """
import sys
from dovetail.serve.constrain.syntax.recogniser import Recogniser
language, native, rounds = sys.argv[1], sys.argv[2] == "C", int(sys.argv[3])
text = sys.stdin.buffer.read()
start = Recogniser(language, native).start()
state = start
for place in range(len(text)):
    state = state.feed(text[place : place + 1]) or start
    if place % 16 == 0:
        state.accepts()
start.feed(text)
if rounds:
    import resource
    for count in range(rounds):
        start.feed(text)
        if count == rounds // 2:
            middle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - middle)
"""


def run_child(language: str, native: bool, text: str, rounds: int = 0) -> str:
    arguments = [sys.executable, "-c", CHILD, language, "C" if native else "python", str(rounds)]
    root = Path(__file__).parents[4]
    done = subprocess.run(arguments, input=text.encode(), capture_output=True, cwd=root, timeout=100, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout.decode()


@pytest.mark.parametrize("language", DEEP)
def test_nesting_beyond_what_a_scanner_can_write_down(fastest: Loops, language: str) -> None:
    run_child(language, fastest.native, DEEP[language][: 4000 if fastest.native else 600])


@pytest.mark.parametrize("language", LANGUAGES)
def test_any_character_anywhere(fastest: Loops, language: str) -> None:
    """Some scanners look characters up in tables that end at 255 (parsing.py)."""
    faces = "\U0001f600\U0010ffff\uffff\u4e00\u0100"
    source = SOURCES[language][0][: 1500 if fastest.native else 200]
    run_child(language, fastest.native, "".join(character + faces[place % 5] for place, character in enumerate(source)))
    run_child(language, fastest.native, source.replace("a", "\u4e00").replace("=", "=\U0001f600"))


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_scanners_give_their_memory_back(fastest: Loops, language: str) -> None:
    """They are made and destroyed once per question."""
    grown = int(run_child(language, fastest.native, SOURCES[language][0], 2000))
    assert grown < 2000, f"{grown} KiB more after a thousand files"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_character_prolongs_a_literal_that_the_probes_do_not(language: str) -> None:
    """The shortcut of lexing.py, against every character there is: in every lexer state, of every literal it reads."""
    found = Tables(language)
    lexer = TextLexer(found)
    others = [chr(code).encode() for code in range(128, 0x110000, 61) if not 0xD800 <= code < 0xE000]
    others += [chr(code).encode() for code in range(128, 0x3100)]
    literals: dict[bytes, int] = {}
    for symbol in range(1, found.token_count):
        name = found.symbol_name(symbol)
        if 0 < len(name) <= 2:
            literals[name] = symbol
    modes = sorted({found.mode(state).lex for state in range(found.language.state_count)} - {NO_LEX})
    for lex_state in modes[:: max(1, len(modes) // 4)]:
        for name, symbol in literals.items():
            if not any(lexer.grows(name, probe, symbol, lex_state) for probe in PROBES):
                assert not any(lexer.grows(name, other, symbol, lex_state) for other in others), (name, lex_state)
