"""States of a grammar constraint: immutable whatever is asked of the others, exact masks, forced text."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

import numpy as np
import pytest
from byte_pairs import spelled, vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from walking import mask_of, tokens_in, walk

from dovetail.serve.constrain.grammar.compile import compile_grammar
from dovetail.serve.constrain.grammar.constraint import GrammarConstraint
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 9},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}
SPECS = [
    GrammarSpec(kind="json_schema", source=json.dumps(PERSON)),
    GrammarSpec(kind="json_object"),
    GrammarSpec(kind="regex", source=r"(\d{1,3}(\.\d{1,3}){3}|[a-zé]+)( and .{0,5}!)?"),
    GrammarSpec(kind="lark", source='start: (WORD " " | number ", ")* "end"\nWORD: /[a-z]+/\nnumber: "-"? /[0-9]+/'),
    GrammarSpec(kind="choice", source=json.dumps(["yes", "yes!", "no", "", 'a"b\n/[c]-d&~é #'])),
]
LARK_WORDS = re.compile(r"([a-z]+ |-?[0-9]+, )*end")


def compiled(spec: GrammarSpec) -> GrammarConstraint:
    return compile_grammar(spec, vocabulary())


def seen(state: GrammarConstraint) -> tuple[bytes, bool, list[int]]:
    return mask_of(state).tobytes(), state.may_end(), list(state.draft(8).tokens)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SPECS), st.integers(0, 10**6))
def test_states_say_the_same_in_any_order(spec: GrammarSpec, seed: int) -> None:
    choose = random.Random(seed)
    states = [compiled(spec)]
    first = [seen(states[0])]
    paths: list[list[int]] = [[]]
    for _ in range(60):
        at = choose.randrange(len(states))
        allowed = tokens_in(mask_of(states[at]))
        if not len(allowed):
            continue
        token = int(choose.choice(allowed))
        states.append(states[at].advance(token))
        paths.append([*paths[at], token])
        first.append(seen(states[-1]))
    for at in choose.sample(range(len(states)), len(states)):
        assert seen(states[at]) == first[at]
    for at in choose.sample(range(len(states)), min(5, len(states))):
        again = compiled(spec)
        for token in paths[at]:
            again = again.advance(token)
        assert seen(again) == first[at]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(SPECS), st.integers(0, 10**6))
def test_masks_are_exact_and_drafts_are_allowed(spec: GrammarSpec, seed: int) -> None:
    choose = random.Random(seed)
    state = compiled(spec)
    for _ in range(25):
        allowed = set(tokens_in(mask_of(state)).tolist())
        some = [choose.randrange(len(vocabulary())) for _ in range(30)]
        for token in {*some, *list(allowed)[:30], 0, 1, len(vocabulary()) - 1}:
            assert state.allows(token) == (token in allowed)
        following = state
        draft = state.draft(choose.randrange(1, 12))
        assert draft.forced == len(draft.tokens)
        for token in draft.tokens:
            following = following.advance(token)
        if not allowed:
            break
        state = state.advance(int(choose.choice(sorted(allowed))))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_special_tokens_never_come_through(spec: GrammarSpec) -> None:
    state = compiled(spec)
    for token in (-1, 0, 1, len(vocabulary()) - 1, len(vocabulary()), len(vocabulary()) + 5, 10**6):
        assert not state.allows(token)
        with pytest.raises(ValueError, match="not allowed"):
            state.advance(token)
    assert not {0, 1, len(vocabulary()) - 1} & set(tokens_in(mask_of(state)).tolist())


def test_a_mask_fills_all_words_it_is_given() -> None:
    words = np.full(vocabulary().words + 3, -1, dtype=np.int32)
    assert compiled(SPECS[0]).mask_into(words)
    assert not words[-3:].any()


def test_outputs_match_the_regular_expression() -> None:
    pattern = re.compile(SPECS[2].source)
    outputs = [walk(compiled(SPECS[2]), seed) for seed in range(60)]
    texts = [spelled(tokens).decode() for tokens, complete in outputs if complete]
    assert len(texts) > 40
    assert all(pattern.fullmatch(text) for text in texts)


def test_outputs_match_the_lark_grammar() -> None:
    outputs = [walk(compiled(SPECS[3]), seed) for seed in range(60)]
    texts = [spelled(tokens).decode() for tokens, complete in outputs if complete]
    assert len(texts) > 5
    assert all(LARK_WORDS.fullmatch(text) for text in texts)


def test_outputs_are_choices_and_every_choice_can_be_made() -> None:
    choices = json.loads(SPECS[4].source)
    outputs = [walk(compiled(SPECS[4]), seed) for seed in range(30)]
    assert all(complete and spelled(tokens).decode() in choices for tokens, complete in outputs)
    for choice in choices:
        state = compiled(SPECS[4])
        for token in vocabulary().encode(choice):
            state = state.advance(token)
        assert state.may_end()


def test_forced_text_is_no_forced_tokenisation() -> None:
    state = compiled(GrammarSpec(kind="lark", source='start: "name" <[2]> /[a-z]/', special_tokens=(2,)))
    assert {vocabulary().spelling(token) for token in tokens_in(mask_of(state)).tolist()} >= {b"n", b"name"}
    [letter] = vocabulary().encode("n")
    assert state.allows(letter)
    assert spelled(list(state.draft(9).tokens)[:-1]) == b"name"
    assert state.draft(9).tokens[-1] == 2
    behind = state.advance(letter)
    assert {vocabulary().spelling(token) for token in tokens_in(mask_of(behind)).tolist()} >= {b"a", b"ame"}
    assert state.admits([letter, *behind.draft(9).tokens]) == 1 + len(behind.draft(9).tokens)


def test_forced_text_is_drafted() -> None:
    spec = GrammarSpec(kind="json_schema", source=json.dumps(PERSON), whitespace="compact")
    assert b'{"name":"'.startswith(spelled(list(compiled(spec).draft(20).tokens)))
    assert len(compiled(spec).draft(20).tokens) >= 2
    assert not compiled(spec).draft(0).tokens


def test_a_sentence_piece_vocabulary_drafts_the_text_itself() -> None:
    from dovetail.serve.constrain.vocabulary import Vocabulary

    letters = [bytes([byte]) for byte in range(256)]

    def encode(text: str) -> list[int]:
        return list((text if text.startswith("\n") else " " + text).encode())

    state = compile_grammar(GrammarSpec(kind="regex", source="[ab]hello"), Vocabulary(letters, encode))
    assert bytes(state.advance(ord("a")).draft(9).tokens) == b"hello"


def test_where_no_token_fits_nothing_is_allowed_and_other_states_live_on() -> None:
    from dovetail.serve.constrain.vocabulary import Vocabulary

    few = Vocabulary([b"a", b"b", b"c", None], lambda text: [b"abc".index(letter) for letter in text.encode()])
    start = compile_grammar(GrammarSpec(kind="regex", source="a(bx|c)"), few)
    dead = start.advance(0).advance(1)
    words = np.full(1, -1, dtype=np.int32)
    assert dead.mask_into(words)
    assert not words.any() and not dead.may_end() and dead.retreat() is None
    assert start.advance(0).advance(2).may_end()


@pytest.mark.parametrize(
    ("kind", "source", "what"),
    [
        ("regex", "a(b", "unclosed group"),
        ("regex", r"a\bb", "not supported"),
        ("regex", "(?=a)", "look-around"),
        ("regex", "(" * 5000 + ")" * 5000, "too deep|nest|complex"),
        ("lark", "start: x", "unknown name"),
        ("lark", "nothing", "Expected"),
        ("lark", "start: " + "(" * 9000 + '"a"' + ")" * 9000, "deeply nested"),
        ("lark", 'start: <[5]> "a"', "by id"),
        ("lark", 'start: <|end|> "a"', "special token"),
        ("lark", "\n".join(["start: a0", *(f'a{i}: a{i + 1} "x"' for i in range(5000)), 'a5000: "a"']), "5002 rules"),
        ("lark", "start: A\nA: " + " & ".join(f"/(?s:.*)w{i}(?s:.*)/" for i in range(14)), "fuel"),
        ("lark", "start: a\na: b\nb: a", "no output|[Uu]nsatisf|NoExtension"),
        ("choice", "[]", "at least one"),
        ("choice", "[1]", "at least one"),
        ("choice", json.dumps(["x"] * 20_001), "choices"),
        ("regex", "a" * 600_000, "characters"),
    ],
    ids=range(16),
)
def test_a_grammar_that_cannot_be_used_is_refused(kind: str, source: str, what: str) -> None:
    with pytest.raises(UserError, match=what) as caught:
        compiled(GrammarSpec(kind=kind, source=source, param="grammar"))
    assert (caught.value.status, caught.value.param) == (400, "grammar")


def _go_on(state: GrammarConstraint) -> None:
    choose = random.Random(0)
    for _ in range(1000):
        state = state.advance(int(choose.choice(tokens_in(mask_of(state)))))


def test_an_output_that_becomes_too_complex_is_told_as_the_users_error() -> None:
    source = 'start: e{1,1000}\ne: f{1,1000}\nf: g{1,1000}\ng: "a"'
    state = compiled(GrammarSpec(kind="lark", source=source, param="grammar"))
    with pytest.raises(UserError, match="more work at one token") as caught:
        _go_on(state)
    assert caught.value.param == "grammar"


def test_quoted_angles_name_no_token() -> None:
    for source in (r'start: "<[1]>" | /<[\[a]/ // <[2]>', 'start: "a" # <[3]>'):
        compiled(GrammarSpec(kind="lark", source=source))


def far(state: GrammarConstraint, tokens: int, between: Callable[[], object] = lambda: None) -> GrammarConstraint:
    for _ in range(tokens):
        token = int(tokens_in(mask_of(state))[0])
        assert state.allows(token)
        between()
        state = state.advance(token)
    return state


@pytest.mark.parametrize("looks_back", [False, True])
def test_a_compiler_that_takes_its_word_back_is_the_grammars_fault(looks_back: bool) -> None:
    start = compiled(GrammarSpec(kind="regex", source="(a*)*" * 1000, param="regex"))
    with pytest.raises(UserError, match="regex: this grammar") as caught:
        far(start, 200, lambda: mask_of(start) if looks_back else None)
    assert (caught.value.code, caught.value.param) == ("grammar_too_complex", "regex")


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "1" + "0" * 400, '"\\ud800"'])
def test_a_schema_of_what_no_strict_json_holds_is_refused(number: str, lenient: bool) -> None:
    with pytest.raises(UserError, match="at #: ") as caught:
        compiled(GrammarSpec(kind="json_schema", source=f'{{"const": {number}}}', lenient=lenient))
    assert caught.value.code == "invalid_json_schema"
