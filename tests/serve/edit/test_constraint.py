"""The contract of the states: masks, drafts, retreats, budgets."""

from __future__ import annotations

import random

import numpy as np
import pytest
from byte_pairs import spelled, vocabulary
from driver import masked
from samples import FILES
from test_random_outputs import FAVOURITES

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.constraint import EditConstraint
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.plan import Plan
from dovetail.serve.edit.zones.replacement import Replacing
from dovetail.serve.errors import UserError
from dovetail.serve.types import EditSpec, Markers, SourceFile


def _initial(*files: SourceFile) -> Constraint:
    return compile_edit(EditSpec(files=files, markers=choose_markers(files)), vocabulary())


def _after(text: str, state: Constraint) -> Constraint:
    for token in vocabulary().encode(text):
        assert state.allows(token), (text, vocabulary().spelling(token))
        state = state.advance(token)
    return state


def _refuse(state: Constraint, text: str) -> None:
    assert not state.allows(vocabulary().encode(text)[0])


HEAD = "a.py\n<<<<<<< SEARCH\n"
CLASS = SourceFile("a.py", "x = 1\n\n\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n")


@pytest.mark.parametrize("path", sorted(FILES))
def test_masks_hold_what_is_allowed_and_drafts_are_allowed(path: str) -> None:
    chance = random.Random(path)
    state, count = _initial(FILES[path]), 0
    for _ in range(60):
        allowed = set(masked(state, vocabulary()))
        probes = [*chance.sample(range(len(vocabulary())), 60), *FAVOURITES]
        admitted = {token for token in probes if state.admits([token])}
        accepted = [token for token in probes if state.allows(token)]
        assert set(accepted) <= admitted <= allowed
        draft = state.draft(chance.choice([1, 5, 40]))
        assert 0 <= draft.forced <= len(draft.tokens)
        ahead = state
        for index, token in enumerate(draft.tokens):
            assert ahead.allows(token)
            if index < draft.forced:
                assert not ahead.may_end()
                _starts_alike(ahead, spelled(list(draft.tokens[index : draft.forced])))
            ahead = ahead.advance(token)
        assert state.admits(draft.tokens) == len(draft.tokens)
        settled = state.settled()
        assert settled is not None
        assert settled <= count
        assert (settled == count) == state.may_end()
        retreat = state.retreat()
        assert (retreat is None) == state.may_end()
        if retreat is not None:
            assert settled <= retreat.keep <= count
        choices = list(draft.tokens[:1]) * 40 + accepted or sorted(allowed)
        if not choices:
            break
        token = chance.choice(choices)
        if state.allows(token):
            state, count = state.advance(token), count + 1


def _starts_alike(state: Constraint, text: bytes) -> None:
    """Every token that is allowed is a prefix of the forced ``text`` or begins with it."""
    for token in masked(state, vocabulary()):
        spelling = vocabulary().spelling(token) or b""
        if state.allows(token):
            assert text.startswith(spelling) or spelling.startswith(text)


def test_a_mask_wider_than_the_vocabulary_is_cleared() -> None:
    words = np.full(vocabulary().words + 3, -1, dtype=np.int32)
    assert _initial(CLASS).mask_into(words)
    assert not words[-3:].any()


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    for text in ("", HEAD, HEAD + "x = 1\n=======\n", HEAD + "x = 1\n=======\nx"):
        assert not _after(text, _initial(CLASS)).allows(len(vocabulary()) + 7)


def test_advance_refuses_what_is_not_allowed() -> None:
    with pytest.raises(ValueError, match="not allowed"):
        _initial(CLASS).advance(0)


def test_no_token_runs_on_behind_the_terminator() -> None:
    state = _after(HEAD + "x = 1\n=======\nx = 2\n", _initial(CLASS))
    run_on = next(t for t in range(len(vocabulary())) if vocabulary().spelling(t) == b">>>>>>> REPLACE\na.py")
    exact = next(t for t in range(len(vocabulary())) if vocabulary().spelling(t) == b">>>>>>> REPLACE\n")
    assert not state.allows(run_on)
    assert state.allows(exact)
    assert state.advance(exact).may_end()


def test_refusals_make_the_block_go_back_to_where_it_could_have_ended() -> None:
    good = HEAD + "    return 2\n=======\n    x = 3\n    return x\n"
    state = _after(good, _initial(CLASS))
    keep = len(vocabulary().encode(good))
    for line in ("    y = (\n", *(f"    {number} +\n" for number in range(1, Plan.patient_limit))):
        assert masked(state, vocabulary())
        state = _after(line, state)
        _refuse(state, ">>>>>>> REPLACE\n")
    assert not masked(state, vocabulary())
    assert not state.allows(vocabulary().encode("x")[0])
    assert not state.draft(8).tokens
    retreat = state.retreat()
    assert retreat is not None
    assert retreat.keep == keep
    assert spelled(list(retreat.state.draft(16).tokens)).startswith(b">>>>>>> REPLACE\n")
    assert retreat.state.settled() == 0
    done = _after(">>>>>>> REPLACE\n", retreat.state)
    assert done.may_end()


def test_one_place_counts_as_one_refusal_and_drafts_count_none() -> None:
    state = _after(HEAD + "    return 2\n=======\n", _initial(CLASS))
    asked = [token for token in FAVOURITES if (vocabulary().spelling(token) or b"").startswith(b">>>>>>>")]
    assert asked
    for token in asked * 2:
        assert not state.allows(token)
    state.draft(30)
    state = _after("    pass\n", state)
    assert masked(state, vocabulary())


def test_a_refused_terminator_leaves_the_mask() -> None:
    state = _after(HEAD + "    return 2\n=======\n    x = (\n", _initial(CLASS))
    token = vocabulary().encode(">>>>>>> REPLACE\n")[0]
    assert token in masked(state, vocabulary())
    assert not state.allows(token)
    assert token not in masked(state, vocabulary())
    assert vocabulary().encode("x")[0] in masked(state, vocabulary())


def test_without_a_witness_the_block_is_dropped_and_its_lines_begin_no_other() -> None:
    state = _after(HEAD + "    return 2\n=======\n    y = (\n", _initial(CLASS))
    retreat = state.retreat()
    assert retreat is not None
    assert retreat.keep == 0
    assert retreat.state.may_end()
    state = _after(HEAD, retreat.state)
    _refuse(_after("    return ", state), "2")
    _after("    return 1\n", state)


def test_the_empty_replacement_is_no_witness() -> None:
    state = _after(HEAD + "x = 1\n=======\ny = (", _initial(CLASS))
    retreat = state.retreat()
    assert retreat is not None
    assert retreat.keep == 0


def test_after_eight_retreats_the_output_may_only_end() -> None:
    state = _initial(FILES["plain.py"], CLASS)
    for number in range(Plan.retreat_limit):
        assert masked(state, vocabulary()), number
        state = _after(HEAD, state)
        retreat = state.retreat()
        assert retreat is not None
        state = retreat.state
    assert state.may_end()
    assert not masked(state, vocabulary())
    assert state.retreat() is None


def test_the_last_retreat_may_still_close_its_block() -> None:
    state = _initial(CLASS)
    for _ in range(Plan.retreat_limit - 1):
        retreat = _after(HEAD, state).retreat()
        assert retreat is not None
        state = retreat.state
    retreat = _after(HEAD + "x = 1\n=======\nx = 2\ny = (\n", state).retreat()
    assert retreat is not None
    state = _after(">>>>>>> REPLACE\n", retreat.state)
    assert state.may_end()
    assert not masked(state, vocabulary())


def test_a_file_without_final_line_feed_keeps_to_it() -> None:
    file = SourceFile("a.py", "x = 1\ny = 2")
    state = _after(HEAD + "y = 2\n=======\ny = 3\n>>>>>>> REPLACE\n", _initial(file))
    assert state.may_end()
    assert isinstance(state, EditConstraint)
    quote, replacement = state.zone.ledger.accepted[0][0]
    assert state.zone.ledger.changes(0, type(quote)(0, 0), b"")[-1].replacement == b"y = 3"
    assert replacement == b"y = 3\n"


def test_an_empty_file_is_filled_once() -> None:
    state = _after("a.py\n<<<<<<< SEARCH\n", _initial(SourceFile("a.py", "")))
    assert spelled(list(state.draft(9).tokens)) == b"=======\n"
    state = _after("=======\nx = 1\n>>>>>>> REPLACE\n", state)
    assert state.may_end()
    assert not masked(state, vocabulary())


@pytest.mark.parametrize("path", [path for path in sorted(FILES) if FILES[path].content])
def test_a_quotation_has_no_dead_end(path: str) -> None:
    """Byte by byte, some byte is always allowed, and none but those leads on; after earlier blocks too."""
    chance = random.Random(path)
    markers = choose_markers([FILES[path]])
    single = [vocabulary().prefixes[bytes([byte])][0] for byte in range(256)]
    state = _initial(FILES[path])
    for _ in range(4):
        if not masked(state, vocabulary()):
            break
        state = _after(f"{path}\n{markers.search}\n", state)
        while isinstance(state, EditConstraint) and not isinstance(state.zone, Replacing):
            allowed = [token for token in single if state.allows(token)]
            assert allowed
            mark = [token for token in allowed if vocabulary().spelling(token) == b"="]
            state = state.advance(chance.choice(mark or allowed))
        assert isinstance(state, EditConstraint)
        assert isinstance(state.zone, Replacing)
        state = _after(state.zone.block.quoted.decode() + markers.replace + "\n", state)


def test_a_divider_and_a_longer_line_stay_possible_together() -> None:
    file = SourceFile("a.txt", "a\n==========\nb\n")
    state = _after("a.txt\n<<<<<<< SEARCH\na\n=", _initial(file))
    for rest in ("======\n", "=========\n"):
        after = state
        for byte in rest.encode():
            token = next(t for t in vocabulary().along(bytes([byte])))
            assert after.allows(token)
            after = after.advance(token)


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ((), "files"),
        ((SourceFile("a", ""), SourceFile("a", "x")), "files[1].path"),
        ((SourceFile("a\nb", ""),), "files[0].path"),
        ((SourceFile("", ""),), "files[0].path"),
        ((SourceFile("a", "\ud800"),), "files[0].content"),
        ((SourceFile("a", "x\n=======\n"),), "markers.divider"),
        ((SourceFile("a", "x\n>>>>>>> REPLACE"),), "markers.replace"),
    ],
)
def test_what_cannot_be_compiled(files: tuple[SourceFile, ...], param: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_edit(EditSpec(files=files), vocabulary())
    assert caught.value.param == param


def test_markers_must_differ() -> None:
    with pytest.raises(UserError):
        compile_edit(EditSpec(files=(CLASS,), markers=Markers("<", "=", "=")), vocabulary())
