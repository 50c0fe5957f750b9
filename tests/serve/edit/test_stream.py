"""Blocks out of text in pieces: exact deltas, whatever the pieces, and exact rollbacks."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from byte_pairs import vocabulary
from driver import generate
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import FILES
from test_random_outputs import FAVOURITES

from dovetail.serve.edit.block import Block, EditError
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.blocks.parse import parse_blocks
from dovetail.serve.edit.formats.blocks.stream import (
    BlockEvent,
    BlockStream,
    EditDone,
    EditStarted,
    ReplaceDelta,
    RolledBack,
    SearchDelta,
)
from dovetail.serve.types import EditSpec, Markers, SourceFile

FILE = SourceFile("a b.py", "x = 1\ny = 2\n==========\nz = 3")
TEXT = (
    "a b.py\n<<<<<<< SEARCH\ny = 2\n==========\n=======\n=======\n>>>> 1\ny = 4\n>>>>>>> REPLACE\n"
    "a b.py\n<<<<<<< SEARCH\nz = 3\n=======\n\nz = 4\n>>>>>>> REPLACE\n"
    "a b.py\n<<<<<<< SEARCH\nx = 1\n=======\n>>>>>>> REPLACE\n"
)
BLOCKS = [
    Block(path="a b.py", search="y = 2\n==========\n", replace="=======\n>>>> 1\ny = 4\n", start_line=2, end_line=3),
    Block(path="a b.py", search="z = 3", replace="\nz = 4", start_line=4, end_line=4),
    Block(path="a b.py", search="x = 1\n", replace="", start_line=1, end_line=1),
]


class Replay:
    """What a consumer of the events knows."""

    def __init__(self) -> None:
        self.done: list[Block] = []
        self.open: tuple[str, str] | None = None
        self.path = ""

    def take(self, events: list[BlockEvent]) -> None:
        for event in events:
            if isinstance(event, EditStarted):
                assert event.index == len(self.done)
                self.open, self.path = ("", ""), event.path
            elif isinstance(event, RolledBack):
                assert event.edits == len(self.done)
                if not event.open:
                    self.open = None
                else:
                    assert self.open is not None
                    assert event.search_chars <= len(self.open[0])
                    assert event.replace_chars <= len(self.open[1])
                    self.open = self.open[0][: event.search_chars], self.open[1][: event.replace_chars]
            else:
                self._more(event)

    def _more(self, event: SearchDelta | ReplaceDelta | EditDone) -> None:
        assert self.open is not None
        assert event.index == len(self.done)
        search, replace = self.open
        if isinstance(event, SearchDelta):
            self.open = search + event.text, replace
        elif isinstance(event, ReplaceDelta):
            self.open = search, replace + event.text
        else:
            assert (event.block.path, event.block.search, event.block.replace) == (self.path, search, replace)
            self.done.append(event.block)
            self.open = None


def test_parse() -> None:
    assert parse_blocks(TEXT, [FILE], Markers()) == BLOCKS
    assert parse_blocks("", [FILE], Markers()) == []


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_pieces(cuts: list[int]) -> None:
    stream, replay = BlockStream([FILE], Markers()), Replay()
    bounds = [0, *sorted(cuts), len(TEXT)]
    for begin, end in pairwise(bounds):
        replay.take(stream.feed(TEXT[begin:end]))
    assert replay.done == BLOCKS == stream.finish()


@settings(max_examples=200)
@given(st.integers(0, len(TEXT)), st.integers(0, len(TEXT)), st.integers(1, 9))
def test_rollback(reached: int, kept: int, size: int) -> None:
    """What a rollback within the open block leaves is what the kept text alone would have given."""
    last_block = max((end for end in _block_ends() if end <= reached), default=0)
    kept = max(last_block, min(kept, reached))
    stream, replay = BlockStream([FILE], Markers()), Replay()
    for begin in range(0, reached, size):
        replay.take(stream.feed(TEXT[begin : min(begin + size, reached)]))
    replay.take(stream.rollback(kept))
    for begin in range(kept, len(TEXT), size):
        replay.take(stream.feed(TEXT[begin : begin + size]))
    assert replay.done == BLOCKS == stream.finish()


def _block_ends() -> list[int]:
    ends, position = [], 0
    while (found := TEXT.find(">>>>>>> REPLACE\n", position)) >= 0:
        position = found + len(">>>>>>> REPLACE\n")
        ends.append(position)
    return ends


def test_deltas_come_before_their_line_is_complete() -> None:
    stream = BlockStream([FILE], Markers())
    stream.feed("a b.py\n<<<<<<< SEARCH\n")
    assert stream.feed("z =") == [SearchDelta(0, "z =")]
    assert stream.feed(" 3\n") == [SearchDelta(0, " 3")]
    assert stream.feed("==") == []
    assert stream.feed("=====\n") == []
    assert stream.feed("z") == [ReplaceDelta(0, "z")]


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("b.py\n", "unknown_path", "none of the given"),
        ("a b.py\nx\n", "malformed", "second line"),
        ("a b.py\n<<<<<<< SEARCH\nx = 1\n", "malformed", "ends inside"),
        ("a b.py", "malformed", "ends inside"),
        ("a b.py\n<<<<<<< SEARCH\ny = 22\n=======\n", "not_found", "line 2: 'y = 2'"),
        ("a b.py\n<<<<<<< SEARCH\n=======\n", "not_found", "empty"),
        ("a b.py\n<<<<<<< SEARCH\n = 1\n=======\n", "not_lines", "whole lines"),
        ("a b.py\n<<<<<<< SEARCH\nx = 1\n=======\n>>>>>>> \n", "malformed", "begins with"),
    ],
)
def test_errors(text: str, reason: str, said: str) -> None:
    with pytest.raises(EditError, match=said) as caught:
        parse_blocks(text, [FILE], Markers())
    assert caught.value.reason == reason
    assert caught.value.status == 422


def test_ambiguous() -> None:
    with pytest.raises(EditError, match="more than once"):
        parse_blocks("a\n<<<<<<< SEARCH\nx\n=======\n>>>>>>> REPLACE\n", [SourceFile("a", "x\nx\n")], Markers())


@pytest.mark.parametrize("seed", range(30))
def test_random_outputs_stream_as_they_parse(seed: int) -> None:
    chance = random.Random(seed)
    files = [FILES[path] for path in chance.sample(sorted(FILES), 3)]
    markers = choose_markers(files)
    state = compile_edit(EditSpec(files=tuple(files), markers=markers), vocabulary())
    outcome = generate(state, vocabulary(), 200, chance, 0.9, favourites=FAVOURITES)
    text = b"".join(vocabulary().spelling(token) or b"" for token in outcome.tokens).decode()
    stream, replay = BlockStream(files, markers), Replay()
    for char in text:
        replay.take(stream.feed(char))
    assert replay.done == stream.finish() == parse_blocks(text, files, markers)
