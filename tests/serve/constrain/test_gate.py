"""The syntax gate: new errors are refused, old ones are not, in every language."""

from __future__ import annotations

import pytest

from dovetail.serve.constrain.syntax.change import Change, changed
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.constrain.syntax.languages import languages_of

SOUND = [
    ("a.py", "def f():\n    return 1\n", "return 1", "return 2", "return ("),
    ("a.js", "const f = () => { g(1); };\n", "g(1);", "h(2);", "h(2;"),
    ("a.ts", "let a: number = 1;\n", "number", "string", "str ing"),
    ("a.tsx", "let a = <b>c</b>;\n", "</b>", "d</b>", "</"),
    ("a.go", "package a\n\nfunc f() int { return 1 }\n", "1", "2", "{"),
    ("a.rs", "fn f() -> i32 { 1 }\n", "1", "2", "{"),
    ("A.java", "class A { int x = 1; }\n", "1", "2", "{"),
    ("a.c", "int f(void) { return 1; }\n", "1", "2", "("),
    ("a.cpp", "template <class T> T f() { return 1; }\n", "1", "2", "("),
    ("a.h", "class A { int f() { return 1; } };\n", "1", "2", "("),
    ("a.json", '{"a": 1}\n', "1", "[2]", "[2"),
    ("a.sh", "if true; then echo 1; fi\n", "1", "2", "1 (("),
]


def _change(text: str, old: str, new: str) -> Change:
    start = text.encode().index(old.encode())
    return Change(start, start + len(old.encode()), new.encode())


@pytest.mark.parametrize(("path", "text", "old", "good", "bad"), SOUND)
def test_sound_files(path: str, text: str, old: str, good: str, bad: str) -> None:
    gate = SyntaxGate(path, text.encode())
    assert gate.syntax == ("compiler" if path == "a.py" else "tree-sitter")
    for judge in (gate.holds, gate.seems_to_hold):
        assert judge([_change(text, old, good)])
        assert not judge([_change(text, old, bad)])
        assert judge([_change(text, old, old)])
        assert judge([])


def test_unknown_languages_pass() -> None:
    gate = SyntaxGate("a.unknown", b"((((")
    assert gate.syntax == "off"
    assert gate.holds([Change(0, 1, b"]")])
    assert gate.seems_to_hold([Change(0, 1, b"]")])
    assert languages_of("Makefile") == ()


@pytest.mark.parametrize(
    "text", ["def f():\nx = 1\n", "x = 1\nreturn = 2\n", "x = 1\n  y = 2\n", "print 'x'\n", "x = '\0'\n"]
)
def test_python_is_judged_by_its_compiler_too(text: str) -> None:
    gate = SyntaxGate("a.py", b"x = 1\n")
    assert not gate.holds([Change(0, 6, text.encode())])


def test_a_python_file_that_does_not_compile_is_judged_by_tree_sitter() -> None:
    gate = SyntaxGate("a.py", b"print 'x'\ny = 1\n")
    assert gate.syntax == "tree-sitter"
    assert gate.holds([Change(10, 16, b"z = 2\n")])
    assert not gate.holds([Change(10, 16, b"z = (2\n")])


def test_too_deep_for_the_compiler_is_refused() -> None:
    gate = SyntaxGate("a.py", b"x = 1\n")
    assert not gate.holds([Change(4, 5, b"(" * 5000 + b")" * 5000)])


def test_old_errors_stay_and_may_go_but_new_ones_are_refused() -> None:
    text = "let x = (;\nlet y = 2;\nlet z = 3;\n"
    gate = SyntaxGate("a.js", text.encode())
    assert gate.holds([_change(text, "let y = 2;", "let why = 22;\nlet k = 1;")])
    assert gate.holds([_change(text, "let x = (;", "let x = 1;")])
    assert gate.holds([_change(text, "let x = (;\n", "")])
    assert gate.holds([_change(text, "let x = (;\n", "let x = (;\nlet a = 1;\n")])
    assert not gate.holds([_change(text, "let z = 3;", "let z = 3(;")])
    assert not gate.holds([_change(text, "let y = 2;", "let y = ];"), _change(text, "3", "4")])


def test_changes_before_an_old_error_move_it() -> None:
    text = "let a = 1;\nlet x = (;\nlet z = 3;\n"
    gate = SyntaxGate("a.js", text.encode())
    assert gate.holds([_change(text, "let a = 1;\n", ""), _change(text, "3", "4444")])
    assert gate.holds([_change(text, "let a = 1;\n", "let abc = 1;\n" * 3)])


def test_changed() -> None:
    assert changed(b"abcdef", [Change(1, 2, b"XY"), Change(2, 2, b"-"), Change(5, 6, b"")]) == b"aXY-cde"


def test_which_parser_vouches() -> None:
    assert SyntaxGate("a.py", b"x = 1\n").syntax == "compiler"
    assert SyntaxGate("a.py", b"print 'x'\n").syntax == "tree-sitter"
    assert SyntaxGate("a.go", b"package a\n").syntax == "tree-sitter"
    assert SyntaxGate("a.txt", b"x").syntax == "off"
