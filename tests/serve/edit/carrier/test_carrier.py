"""Calls of edit tools quote what is known of the file: in every dialect, for every way to begin and end a quotation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from babble import calls_in, carrier, edit_tool, mask_of, start, walk
from byte_pairs import vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import FAMILIES

from dovetail.models.dialects.family import Family
from dovetail.models.dialects.glm import Glm
from dovetail.models.dialects.hermes import Hermes
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.edit.carrier.compile import compile_carrier
from dovetail.serve.edit.carrier.quoting import Quoting, Rules
from dovetail.serve.edit.carrier.shown import Places, ShownText
from dovetail.serve.types import KnownFile

FOLLOWED = [*FAMILIES, Glm(lines=False)]
CALC = 'def add(a, b):\n    """Adds."""\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n\n\nprint("é\\t", add(1, 2))\n'
REPEATS = "x = 1\ny = 2\n" * 3 + "z = 3"
NASTY = '\ttab\r\nünï → 😀 \x7f\x0c \\n \\\\ "quoted" </parameter>\n</arg_value> \u2028 end'
TEXTS = {"calc.py": CALC, "repeats.py": REPEATS, "nasty.txt": NASTY, "same.txt": "a\na\na\n"}
WHOLE = [KnownFile(path, (text,), True) for path, text in TEXTS.items()]
PARTS = [KnownFile("calc.py", (CALC[:20], CALC[47:90])), KnownFile("repeats.py", ("x = 1\n", "y = 2\n"))]


def quoted_right(call: dict[str, Any], files: list[KnownFile], unique: bool) -> bool:
    file = next(file for file in files if file.path == call["file_path"])
    old = call["old_string"]
    if not file.whole:
        return any(old in piece for piece in file.pieces)
    occurrences = sum(file.pieces[0].startswith(old, at) for at in range(len(file.pieces[0])))
    return occurrences == 1 or (not unique and occurrences > 0 and "\n" not in old)


@pytest.mark.parametrize("family", FOLLOWED, ids=lambda family: family.name)
@pytest.mark.parametrize("files", [WHOLE, PARTS], ids=["whole", "parts"])
@pytest.mark.parametrize("everywhere", [False, True], ids=["once", "replace_all"])
def test_a_random_model_quotes_known_text(family: Family, files: list[KnownFile], everywhere: bool) -> None:
    head = family.head(edit_tool([]))
    closer = head.tags[2] if head is not None else ""
    files = [file for file in files if not closer or not any(closer in piece for piece in file.pieces)]
    tool = edit_tool([file.path for file in files], everywhere=everywhere)
    spec = carrier(family, tool, files)
    calls = [call for seed in range(12) for call in calls_in(family, tool, walk(spec, seed))]
    assert len(calls) >= 3
    assert all(quoted_right(call, files, unique=not everywhere) for call in calls), calls


def along(state: Constraint, text: str) -> Constraint | None:
    """The state behind ``text`` as the tokenizer writes it; None if it is refused."""
    for token in vocabulary().encode(text):
        if not state.allows(token):
            return None
        assert mask_of(state)[token], vocabulary().spelling(token)
        state = state.advance(token)
    return state


def test_the_first_mask_over_a_file_is_found_beside_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [KnownFile("calc.py", (CALC + "# a text that no other test has prepared\n",), True)]
    later: list[Callable[[], None]] = []
    compile_carrier(carrier(Hermes(), TOOL, files), vocabulary(), later.append)
    for call in later:
        call()

    def absent(_: ShownText) -> Places:
        raise AssertionError("it is looked for while the engine steps")

    monkeypatch.setattr(ShownText, "starts", absent)
    text = said("calc.py", "def")
    begun = along(compile_carrier(carrier(Hermes(), TOOL, files), vocabulary()), text[: text.index("def")])
    assert begun is not None
    assert mask_of(begun).any()


def test_drafts_of_others_are_admitted_as_far_as_they_are_allowed() -> None:
    state = start(carrier(Hermes(), TOOL, WHOLE))
    tokens = vocabulary().encode(said("calc.py", "return a - b\n\n\nprint", "x"))
    assert state.admits(tokens) == len(tokens)
    wrong = vocabulary().encode(said("calc.py", "return a - b\n\n\nprunt", "x"))
    allowed = state.admits(wrong)
    assert allowed < len(wrong)
    for token in wrong[:allowed]:
        state = state.advance(token)
    assert not state.allows(wrong[allowed])


def hermes_call(**arguments: Any) -> str:
    return f'<tool_call>\n{{"name": "Edit", "arguments": {json.dumps(arguments, ensure_ascii=False)}}}\n</tool_call>'


def said(path: str, old: str, new: str = "", **more: Any) -> str:
    return hermes_call(file_path=path, old_string=old, new_string=new, **more)


TOOL = edit_tool([*TEXTS, "unknown.py"])
TOOL_ALL = edit_tool([*TEXTS, "unknown.py"], everywhere=True)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["calc.py", "repeats.py", "nasty.txt"]), st.data())
def test_what_is_unique_in_the_file_is_allowed_and_nothing_else(path: str, data: st.DataObject) -> None:
    text = TEXTS[path].replace("\x7f", "")
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, min(len(text), begin + 30)))
    old = text[begin:end]
    files = [KnownFile(path, (text,), True)]
    state = along(start(carrier(Hermes(), TOOL, files)), said(path, old))
    unique = sum(text.startswith(old, at) for at in range(len(text))) == 1
    assert (state is not None) == unique
    wrong = old[:-1] + ("q" if old[-1] != "q" else "w")
    refused = along(start(carrier(Hermes(), TOOL, files)), said(path, wrong)) is None
    assert refused == (sum(text.startswith(wrong, at) for at in range(len(text))) != 1)


def test_nothing_is_refused_where_nothing_is_known() -> None:
    assert along(start(carrier(Hermes(), TOOL, WHOLE)), said("unknown.py", "whatever")) is not None


def test_a_part_of_a_line_may_occur_several_times_where_all_can_be_meant() -> None:
    spec = carrier(Hermes(), TOOL_ALL, WHOLE)
    assert along(start(spec), said("repeats.py", "x = ", "w = ", replace_all=True)) is not None
    assert along(start(spec), said("repeats.py", "x = 1\ny", "w")) is None
    assert along(start(carrier(Hermes(), TOOL, WHOLE)), said("repeats.py", "x = ", "w = ")) is None


def test_an_empty_old_text_is_for_tools_that_know_it_and_for_empty_files() -> None:
    empty = [*WHOLE, KnownFile("unknown.py", ("",), True)]
    assert along(start(carrier(Hermes(), TOOL, WHOLE)), said("calc.py", "", "x")) is None
    assert along(start(carrier(Hermes(), TOOL, WHOLE, empty_old=True)), said("calc.py", "", "x")) is not None
    assert along(start(carrier(Hermes(), TOOL, empty)), said("unknown.py", "", "x")) is not None
    assert along(start(carrier(Hermes(), TOOL, empty)), said("unknown.py", "x", "x")) is None


def test_a_second_call_quotes_what_the_first_has_left() -> None:
    spec = carrier(Hermes(), TOOL, WHOLE, parallel=True)
    first = said("calc.py", "return a - b", "return b - a")
    assert along(start(spec), f"{first}\n{said('calc.py', 'return b - a')}") is not None
    assert along(start(spec), f"{first}\n{said('calc.py', 'return a - b')}") is None


def test_the_quoted_text_and_the_new_one_are_drafted() -> None:
    call = said("calc.py", 'def add(a, b):\n    """Adds."""\n    return a + b\n', 'def add(a, b):\n    """Adds."""\n')
    tokens = vocabulary().encode(call)
    state, passes, at = start(carrier(Hermes(), TOOL, WHOLE)), 0, 0
    while at < len(tokens):
        for token in state.draft(16).tokens:
            assert state.allows(token)
            if at == len(tokens) or tokens[at] != token:
                break
            state, at = state.advance(token), at + 1
        if at < len(tokens):
            state, at = state.advance(tokens[at]), at + 1
        passes += 1
    assert passes < len(tokens) * 0.4, (passes, len(tokens))


def test_what_is_no_call_is_left_alone() -> None:
    spec = carrier(Hermes(), TOOL, WHOLE)
    free = start(type(spec)(files=spec.files, tools=spec.tools))
    assert free.may_end() and mask_of(free).all()
    state = along(free, 'The call {"name": "Edit", "arguments": {"file_path": "calc.py", "old_string": "nowhere"}}')
    assert state is not None and state.may_end()
    held = along(free, said("calc.py", "def").partition('def"')[0])
    assert held is not None and not held.may_end()


def test_what_closes_a_text_is_part_of_what_may_come() -> None:
    shown = ShownText(("a = 1\n",), whole=True, in_json=False)
    begun = Quoting(shown, Rules(unique=True, lines_unique=False, empty=True))
    masks = [begun.mask(vocabulary(), closer).tolist() for closer in (b")\n", b"</end>")]
    assert masks[0] != masks[1]
    assert begun.mask(vocabulary(), b")\n").tolist() == masks[0]


def test_a_tool_that_is_told_of_occurrences_before_is_held_to_one_place() -> None:
    spec = carrier(Hermes(), TOOL_ALL, WHOLE)
    first = msgspec.structs.replace(spec, tools=(msgspec.structs.replace(spec.tools[0], everywhere_first=True),))
    assert along(start(spec), said("repeats.py", "x = ", "w = ")) is not None
    assert along(start(first), said("repeats.py", "x = ", "w = ")) is None
