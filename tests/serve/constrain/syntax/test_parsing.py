"""Texts that grammars' scanners cannot bear: harmless before they are parsed, and as long as they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.constrain.syntax.gate import Change, SyntaxGate
from dovetail.serve.constrain.syntax.parsing import harmless, parse

SCRIPT = 'greet() {\n  local name="$1"\n  echo "hello ${name}" | cat <<EOF\ntext $x\nEOF\n}\nfor n in a b; do\n  greet "$n"\ndone\n'


def test_an_emoji_anywhere_in_a_shell_script_crashes_nothing() -> None:
    gate = SyntaxGate("run.sh", SCRIPT.encode())
    for face in ("\U0001f600", "\U0010ffff", "\uffff", "\u4e00", "\u0100"):
        for place in range(len(SCRIPT) + 1):
            parse("bash", (SCRIPT[:place] + face + SCRIPT[place:]).encode())
        gate.holds([Change(0, 0, f"# {face}\n{face}=${face}\n".encode())])


@given(st.text())
def test_the_length_stays(text: str) -> None:
    safe = harmless("bash", text.encode("utf-8", "ignore"))
    assert len(safe) == len(text.encode("utf-8", "ignore"))
    assert all(ord(character) < 256 for character in safe.decode())
    assert harmless("python", text.encode("utf-8", "ignore")) == text.encode("utf-8", "ignore")


def test_words_beyond_latin_1_are_still_accepted() -> None:
    gate = SyntaxGate("run.sh", SCRIPT.encode())
    assert gate.holds([Change(0, 0, 'echo "grüße 漢字 \U0001f600"\n# 한글\n'.encode())])
    assert not gate.holds([Change(0, 0, 'echo "漢字\n'.encode())])
