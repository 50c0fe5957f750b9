"""Readers of all families: recorded shapes, any chunking, nothing lost, nothing raised."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from offered import TOOLS
from shapes import FAMILIES, READ

from dovetail.models.dialects.family import Family
from dovetail.models.dialects.pieces import joined
from dovetail.models.dialects.reading import THINK, held_back


def read(family: Family, chunks: list[str], *, think: bool = False, thinking: bool = False) -> list[tuple[str, str]]:
    reader = family.reader(TOOLS, THINK if think else None, thinking)
    pieces = [piece for chunk in chunks for piece in reader.feed(chunk)]
    return [(piece.kind, piece.text) for piece in joined([*pieces, *reader.finish()])]


def cut(text: str, places: list[int]) -> list[str]:
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize(("family", "text", "means"), READ, ids=lambda value: getattr(value, "name", None))
def test_recorded_shapes_mean_the_same_in_any_chunking(family, text, means):
    assert read(family, [text]) == means
    assert read(family, list(text)) == means


@given(shape=st.sampled_from(READ), places=st.lists(st.integers(0, 400), max_size=8))
def test_chunks_do_not_matter(shape, places):
    family, text, means = shape
    assert read(family, cut(text, places)) == means


FRAGMENTS = sorted(
    {text[at : at + size] for _, text, _ in READ for at in range(0, len(text), 5) for size in (3, 17)}
    | {mark for family in FAMILIES for mark in family.markers}
    | {
        "<think>",
        "</think>",
        "\n",
        " ",
        '"',
        "{",
        "}",
        "[",
        "]",
        "<",
        '{"name": "read", "arguments": ',
        "\\",
        "é",
        "\0",
    }
)


@given(
    family=st.sampled_from(FAMILIES),
    parts=st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=14),
    places=st.lists(st.integers(0, 400), max_size=8),
    think=st.booleans(),
    thinking=st.booleans(),
)
def test_whatever_a_model_says_is_read_to_its_end(family, parts, places, think, thinking):
    text = "".join(parts)
    pieces = read(family, cut(text, places), think=think, thinking=thinking)
    assert pieces == read(family, [text], think=think, thinking=thinking)
    opened = 0
    for kind, _ in pieces:
        opened += {"call": 1, "end": -1}.get(kind, 0)
        assert opened in (0, 1)
        assert kind != "arguments" or opened == 1
    assert opened == 0, "every call is ended"


@given(family=st.sampled_from(FAMILIES), text=st.text(alphabet=st.sampled_from("ab <>{}[]|\n\"'/=_t"), max_size=40))
def test_text_without_markers_is_text(family, text):
    assert "".join(part for _, part in read(family, list(text))) == text


@given(text=st.text(max_size=30), places=st.lists(st.integers(0, 100), max_size=4))
def test_without_tools_nothing_is_a_call(text, places):
    for family in FAMILIES[:-1]:
        reader = family.reader((), None, False)
        said = f"<tool_call>{text}[TOOL_CALLS]"
        pieces = [piece for chunk in cut(said, places) for piece in reader.feed(chunk)] + reader.finish()
        assert [(piece.kind, piece.text) for piece in joined(pieces)] == [("text", said)]


@pytest.mark.parametrize("family", FAMILIES[:-1], ids=lambda family: family.name)
def test_reasoning_stands_before_the_answer(family):
    thought = [("reasoning", "Hm <tool_call>.")]
    assert read(family, list("<think>\nHm <tool_call>.\n</think>\n\nHi "), think=True) == [*thought, ("text", "Hi ")]
    assert read(family, list("Hm <tool_call>.\n</think>\n\nHi "), think=True, thinking=True) == [
        *thought,
        ("text", "Hi "),
    ]
    assert read(family, list("<think>\nHm"), think=True) == [("reasoning", "Hm")]
    assert read(family, list("\n <thin"), think=True) == [("text", "\n <thin")]
    assert read(family, list("<think>Hm</think>")) == [("text", "<think>Hm</think>")], "no model of reasoning"


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=8))
def test_arguments_that_are_json_stay_json(value):
    text = json.dumps({"path": value}, ensure_ascii=False)
    said = f'<tool_call>{{"name": "read", "arguments": {text}}}</tool_call>'
    [_, (kind, arguments), _] = read(FAMILIES[0], list(said))
    assert (kind, arguments) == ("arguments", text)


@given(value=st.text(max_size=20))
def test_values_between_tags_become_json_strings(value):
    said = f"<function=read>\n<parameter=path>\n{value}\n</parameter>\n</function>"
    [_, (_, arguments), _] = read(FAMILIES[1], list(said))
    assert json.loads(arguments) == {"path": value}


def test_nothing_that_may_be_a_marker_is_given_out():
    reader = FAMILIES[0].reader(TOOLS, None, False)
    assert [piece.text for piece in reader.feed("a <tool_c")] == ["a"]
    assert [piece.text for piece in reader.feed("ost>")] == [" <tool_cost>"]
    assert held_back("abc<to", ("<tool_call>",)) == 3


def test_arguments_are_given_out_while_they_grow():
    reader = FAMILIES[0].reader(TOOLS, None, False)
    reader.feed('<tool_call>{"name": "read", "arguments": ')
    assert [piece.text for piece in reader.feed('{"path": "a')] == ["read", '{"path": "a']
    assert [piece.text for piece in reader.feed("b")] == ["b"]
