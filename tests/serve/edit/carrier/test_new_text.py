"""New texts of calls, where the whole file is known: the file parses once the call is done; whatever else is known, they are free."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from babble import calls_in, carrier, edit_tool, walk_from
from byte_pairs import vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import FAMILIES
from tree_sitter import Parser

from dovetail.models.dialects.family import Family
from dovetail.models.dialects.hermes import Hermes
from dovetail.serve.constrain.base import Constraint, Pending, Retreat
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.constrain.syntax.gates import LOCAL_GATES, Answer, Gate, Gates
from dovetail.serve.constrain.syntax.languages import grammar
from dovetail.serve.edit.carrier import new_text
from dovetail.serve.edit.carrier.compile import compile_carrier
from dovetail.serve.edit.carrier.new_text import _decoded
from dovetail.serve.types import KnownFile

CALC = 'def add(a, b):\n    """Adds é."""\n    return a + b\n\n\nclass Box:\n    size = add(1, 2)\n'
DATA = '{\n  "a": [1, 2],\n  "b": {"c": null}\n}\n'
FILES = [KnownFile("calc.py", (CALC,), True), KnownFile("data.json", (DATA,), True)]
LANGUAGES = {"calc.py": "python", "data.json": "json"}
FOLLOWED = [
    family
    for family in FAMILIES
    if family.head(edit_tool(["a"])) is not None and family.name != "deepseek"  # whose calls take too long to babble
]
TOOL, TOOL_ALL = (edit_tool([file.path for file in FILES], everywhere=every) for every in (False, True))


def parses(path: str, text: str) -> bool:
    return not Parser(grammar(LANGUAGES[path])).parse(text.encode()).root_node.has_error


def began(
    files: Sequence[KnownFile] = FILES, gates: Gates | None = LOCAL_GATES, *, everywhere: bool = False
) -> Constraint:
    spec = carrier(Hermes(), TOOL_ALL if everywhere else TOOL, files)
    return compile_carrier(spec, vocabulary(), lambda call: call(), gates)


def said(old: str, new: str, path: str = "calc.py", **more: object) -> str:
    arguments = {"file_path": path, "old_string": old, "new_string": new, **more}
    return f'<tool_call>\n{{"name": "Edit", "arguments": {json.dumps(arguments, ensure_ascii=False)}}}\n</tool_call>'


def along(state: Constraint, text: str) -> Constraint | None:
    for token in vocabulary().encode(text):
        if not state.allows(token):
            return None
        state = state.advance(token)
    return state


@pytest.mark.parametrize("family", FOLLOWED, ids=lambda family: family.name)
def test_whatever_a_random_model_writes_the_file_parses(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_text, "TRIES", 1_000)  # A random model asks for the end of anything.
    made = 0
    for seed in range(16):
        state = compile_carrier(carrier(family, TOOL, FILES), vocabulary(), gates=LOCAL_GATES)
        let_go: list[Retreat] = []
        calls = calls_in(family, TOOL, walk_from(state, seed, 120, let_go, follow=0.8))
        for call in calls if not let_go else ():
            before = {file.path: file.pieces[0] for file in FILES}[call["file_path"]]
            assert before.count(call["old_string"]) == 1
            assert parses(call["file_path"], before.replace(call["old_string"], call["new_string"])), call
            made += 1
    assert made >= 1


def test_an_end_that_is_asked_for_again_and_again_is_let_go() -> None:
    text = said("return a + b", "return (a")
    state = along(began(), text[: text.rindex('"')])
    assert state is not None
    [quote, word] = [*vocabulary().encode('"'), *vocabulary().encode("b")]
    asked = 0
    while not state.allows(quote):
        asked += 1
        state = state.advance(word)
    assert asked == new_text.TRIES - 1


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("return a + b", "return b + a", "calc.py"),
        ("    return a + b\n", "    c = a + b\n    return c\n", "calc.py"),
        ("a, b", "a, b, *, c='\\n\\\\ \" → 😀'", "calc.py"),
        ("size = add(1, 2)", "size = [\n        1,\n    ]", "calc.py"),
        ('"c": null', '"c": true, "d": "\\u00e9"', "data.json"),
        ("    size = add(1, 2)\n", "    pass\n", "calc.py"),
    ],
)
def test_what_parses_passes(old: str, new: str, path: str) -> None:
    assert along(began(), said(old, new, path)) is not None
    assert along(began(everywhere=True), said(old, new, path)) is not None


BROKEN = [
    ("return a + b", "return (a + b", "calc.py"),
    ("return a + b", "return a + b)", "calc.py"),
    ("    return a + b\n", "", "calc.py"),
    ("size = add(1, 2)", "size = = 2", "calc.py"),
    ('"c": null', '"c": null,', "data.json"),
]


@pytest.mark.parametrize(("old", "new", "path"), BROKEN[:2] + BROKEN[3:])
def test_what_does_not_is_refused(old: str, new: str, path: str) -> None:
    assert along(began(), said(old, new, path)) is None


@pytest.mark.parametrize(("old", "new", "path"), BROKEN)
def test_it_is_free_where_nothing_can_be_said(old: str, new: str, path: str) -> None:
    text = said(old, new, path)
    partly = [KnownFile(file.path, file.pieces, False) for file in FILES]
    faulty = [KnownFile(file.path, ("(\n" + file.pieces[0],), True) for file in FILES]
    assert along(began(partly), text) is not None
    assert along(began(faulty), text) is not None
    assert along(began(gates=None), text) is not None
    twice = [KnownFile(file.path, (file.pieces[0] * 2,), True) for file in FILES]
    if "\n" not in old:
        assert along(began(twice, everywhere=True), said(old, new, path, replace_all=True)) is not None


def test_a_text_that_cannot_be_put_right_is_let_go() -> None:
    text = said("return a + b", "return a + b")
    begun = along(began(), text[: text.rindex("return a + b") + len("return a + b")])
    assert begun is not None
    [bracket] = vocabulary().encode(")")
    assert not begun.allows(bracket)
    retreat = begun.retreat()
    assert retreat is not None
    assert retreat.keep == len(vocabulary().encode(text[: text.rindex("return a + b") + len("return a + b")]))
    assert retreat.state.allows(bracket)
    assert retreat.state.retreat() is None


class Reading:
    """A gate that has not read its file yet."""

    def __init__(self, path: str, original: bytes) -> None:
        gate = SyntaxGate(path, original)
        self.language, self.faulty, self.ready = gate.language, gate.faulty, False

    def wait(self, seconds: float) -> bool:
        return self.ready

    def ask(self, changes: Sequence[Change], expected: bool | None = None) -> Answer:
        return Answer.known(True)

    def prepare(self, then: Callable[[], None]) -> None:
        then()


class ReadingGates:
    blocking = False

    def __init__(self) -> None:
        self.made: list[Reading] = []

    def open(self, path: str, original: bytes) -> Gate:
        self.made.append(Reading(path, original))
        return self.made[-1]


def test_a_new_text_waits_until_its_file_has_been_read() -> None:
    gates = ReadingGates()
    text = said("return a + b", "return b")
    opening = text[: text.index('return b"') - 1]
    state = along(began(gates=gates), opening)
    assert state is not None
    [quote] = vocabulary().encode('"')
    with pytest.raises(Pending):
        state.allows(quote)
    assert state.admits([quote]) == 0
    for gate in gates.made:
        gate.ready = True
    assert state.allows(quote)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12), st.booleans(), st.data())
def test_json_is_decoded_piece_by_piece(text: str, ascii_only: bool, data: st.DataObject) -> None:
    written = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode(errors="replace")
    found, seen = b"", 0
    for end in [*sorted(data.draw(st.lists(st.integers(0, len(written))))), len(written)]:
        piece, used = _decoded(written[seen:end])
        found, seen = found + piece, seen + used
    assert found == text.encode(errors="replace")


def test_pythons_own_parser_is_asked_at_the_end() -> None:
    """tree-sitter takes a dedent to a column that no block has."""
    text = "def f(a):\n    x = 1\n    return [a, x]\n"
    files = [KnownFile("calc.py", (text,), True)]
    assert along(began(files), said("    return", "    y =")) is not None
    assert parses("calc.py", text.replace("    return", ""))
    assert along(began(files), said("    return", "")) is None
