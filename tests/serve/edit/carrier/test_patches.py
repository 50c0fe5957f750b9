"""Patches in calls, plain, in JSON and in a heredoc: their old lines are lines of the file, in order; nothing else is refused."""

from __future__ import annotations

import json

import pytest
from babble import mask_of, start, walk_from
from byte_pairs import vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from offered import Grammar, Offered
from shapes import FAMILIES

from dovetail.models.dialects.family import Family
from dovetail.models.dialects.hermes import Hermes
from dovetail.models.dialects.lark import Lark
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.edit.known.patches import file_patches
from dovetail.serve.types import CarrierSpec, CarrierTool, GrammarSpec, KnownFile

LARK = r"""start: "*** Begin Patch\n" hunk+ "*** End Patch" "\n"?
hunk: "*** Update File: " /(calc|unknown)\.py/ "\n" ("@@" (" " /.+/)? "\n" line+)+
line: /[-+ ].{0,30}/ "\n"
"""
CALC = (
    'def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    """Subtract \\n."""\n    return a - b\n\n\nprint("é", 1)'
)
LINES = CALC.split("\n")
WHOLE = [KnownFile("calc.py", (CALC,), True)]
PARTS = [KnownFile("calc.py", ("def add(a, b):\n    return a + b\n", 'print("é", 1)'))]
CUSTOM = Offered("apply_patch", kind="custom", grammar=Grammar("lark", LARK))
TEXT = {"type": "object", "properties": {"patchText": {"type": "string"}}, "required": ["patchText"]}
FUNCTION = Offered("apply_patch", parameters=TEXT)
PLAIN = [family for family in FAMILIES if family.plain_inputs]


def carrier(family: Family, tool: Offered, files: list[KnownFile], *, held: bool = True) -> CarrierSpec:
    lark = Lark({})
    calls = family.calls((tool,), False, lark)
    head = family.head(tool)
    assert head is not None
    patch = "input" if tool.kind == "custom" else "patchText"
    carried = CarrierTool(name=tool.name, head=head.pattern, style=head.style, tags=head.tags, patch=patch)
    source = lark.text(f"{lark.literal(family.opener)} {calls}" if family.opener else calls)
    grammar = GrammarSpec(kind="lark", source=source, param="tools") if held else None
    return CarrierSpec(files=tuple(files), tools=(carried,), grammar=grammar)


def fits(patch: str, files: list[KnownFile]) -> bool:
    """Whether the old lines of every hunk stand in the file, each hunk behind the one before."""
    for section in file_patches(patch):
        file = next((file for file in files if file.path == section.path), None)
        at = 0
        for old, _ in section.hunks if file is not None else ():
            wanted = old.split("\n")[:-1]
            pieces = [piece.removesuffix("\n").split("\n") for piece in file.pieces] if file is not None else []
            places = [
                place + len(wanted)
                for lines in pieces
                for place in range(at if file and file.whole else 0, len(lines) - len(wanted) + 1)
                if lines[place : place + len(wanted)] == wanted
            ]
            if wanted and not places:
                return False
            at = min(places) if wanted else at
    return True


@pytest.mark.parametrize("family", PLAIN, ids=lambda family: family.name)
@pytest.mark.parametrize("files", [WHOLE, PARTS], ids=["whole", "parts"])
def test_a_random_model_patches_known_lines(family: Family, files: list[KnownFile]) -> None:
    old_lines = 0
    for seed in range(24):
        text = walk_from(start(carrier(family, CUSTOM, files)), seed, longest=250)
        patch = text[text.find("*** Begin Patch") :].partition("*** End Patch")[0] + "*** End Patch\n"
        whole = patch.rpartition("\n@@")[0] + "\n*** End Patch\n" if "*** End Patch" not in text else patch
        assert fits(whole, files), whole
        calc = [section for section in file_patches(whole) if section.path == "calc.py"]
        old_lines += sum(bool(old) for section in calc for old, _ in section.hunks)
    assert old_lines >= 3


def along(state: Constraint, text: str) -> Constraint | None:
    for token in vocabulary().encode(text):
        if not state.allows(token):
            return None
        assert mask_of(state)[token], vocabulary().spelling(token)
        state = state.advance(token)
    return state


def in_json(patch: str) -> str:
    arguments = json.dumps({"patchText": patch}, ensure_ascii=False)
    return f'<tool_call>\n{{"name": "apply_patch", "arguments": {arguments}}}\n</tool_call>'


def plain(patch: str) -> str:
    return f'<tool_call>\n{{"name": "apply_patch", "arguments": "below"}}\n{patch}\n</tool_call>'


def heredoc(patch: str) -> str:
    return in_json(f"apply_patch <<'EOF'\n{patch}\nEOF")


def update(*lines: str, path: str = "calc.py") -> str:
    return "\n".join(["*** Begin Patch", f"*** Update File: {path}", *lines, "*** End Patch"])


FORMS = {"json": (in_json, FUNCTION), "plain": (plain, CUSTOM), "heredoc": (heredoc, FUNCTION)}
ALLOWED = [
    ["@@", " def add(a, b):", "-    return a + b", "+    return b + a"],
    ["@@ def sub(a, b):", "-    return a - b", "+x"],
    ["@@", "-    return a + b", "@@", "+new", "-    return a - b"],
    ["@@ return a + b", " ", " ", "+x"],
    ["@@", '-    """Subtract \\n."""', '-print("é", 1)'][:2],
]
REFUSED = [
    ["@@", f"-{LINES[-1]}", f"@@ {LINES[-1]}", "+x"],
    ["@@", " def add(a, c):", "+x"],
    ["@@", "-    return a - b", "@@", "-    return a + b"],
    ["@@", " def add(a, b):", "-    return a - b"],
    ["@@ def mul(a, b):", "+x"],
    ["@@", "-return a + b", "+x"],
    ["@@", '-print("é", 1)', "-more"],
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lines", ALLOWED)
def test_patches_of_known_lines_are_allowed(form: str, lines: list[str]) -> None:
    if form == "plain" and not all(line.startswith(("@@", "-", "+", " ")) for line in lines):
        return
    write, tool = FORMS[form]
    assert along(start(carrier(Hermes(), tool, WHOLE)), write(update(*lines))) is not None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lines", REFUSED)
def test_patches_of_other_lines_are_refused(form: str, lines: list[str]) -> None:
    write, tool = FORMS[form]
    assert along(start(carrier(Hermes(), tool, WHOLE)), write(update(*lines))) is None
    assert along(start(carrier(Hermes(), tool, WHOLE)), write(update(*lines, path="unknown.py"))) is not None


def test_a_script_that_holds_a_patch_for_something_else_is_left_alone() -> None:
    script = in_json(f"cat > a.patch <<'EOF'\n{update(*REFUSED[0])}\nEOF")
    assert along(start(carrier(Hermes(), FUNCTION, WHOLE)), script) is not None


def test_the_second_call_sees_what_the_first_has_done() -> None:
    spec = carrier(Hermes(), FUNCTION, WHOLE, held=False)
    first = in_json(update("@@", "-    return a + b", "+    return b + a"))
    assert along(start(spec), first + "\n" + in_json(update("@@", " def add(a, b):", "-    return b + a"))) is not None
    assert along(start(spec), first + "\n" + in_json(update("@@", "-    return a + b"))) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(LINES) - 1), st.integers(1, 4), st.sampled_from(sorted(FORMS)), st.data())
def test_a_stretch_of_the_file_is_allowed_and_one_changed_line_is_not(
    first: int, count: int, form: str, data: st.DataObject
) -> None:
    write, tool = FORMS[form]
    old = LINES[first : first + count]
    lines = ["@@", *(data.draw(st.sampled_from(" -")) + line for line in old), "+new"]
    spec = carrier(Hermes(), tool, WHOLE)
    assert along(start(spec), write(update(*lines))) is not None
    place = data.draw(st.integers(1, len(old)))
    wrong = [*lines[:place], lines[place] + "q", *lines[place + 1 :]]
    assert along(start(spec), write(update(*wrong))) is None


def test_old_lines_are_drafted() -> None:
    text = plain(update("@@", *(" " + line for line in LINES[:6]), "-    return a - b", "+    return b - a"))
    tokens = vocabulary().encode(text)
    state, passes, at = start(carrier(Hermes(), CUSTOM, WHOLE)), 0, 0
    while at < len(tokens):
        for token in state.draft(16).tokens:
            if at == len(tokens) or tokens[at] != token:
                break
            state, at = state.advance(token), at + 1
        if at < len(tokens):
            state, at = state.advance(tokens[at]), at + 1
        passes += 1
    assert passes < len(tokens) * 0.6, (passes, len(tokens))
