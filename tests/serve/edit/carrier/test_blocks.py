"""Search/replace blocks in plain text: what they search for has been shown, and is there once where all of a file is known."""

from __future__ import annotations

import random

import pytest
from babble import mask_of, start, walk_from
from byte_pairs import vocabulary
from test_carrier import along

from dovetail.serve.constrain.syntax.gates import LOCAL_GATES
from dovetail.serve.edit.carrier.compile import compile_carrier
from dovetail.serve.edit.carrier.watch import START
from dovetail.serve.edit.known.chat_blocks import HEAD, asks_for_blocks, chat_blocks, lines_replaced
from dovetail.serve.edit.known.follow import Turn, known_texts
from dovetail.serve.types import CarrierSpec, CarrierTool, KnownFile

CALC = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a + b\n"
SAME = "  a = 1\na = 1\nb\na = 1\nb"
FILES = (
    KnownFile("calc.py", (CALC,), True),
    KnownFile("same.txt", (SAME,), True),
    KnownFile("part.py", ("x\ny\nx\n",)),
)
TOOL = CarrierTool(
    name="", head=rf"(?:\n|{START.decode()}){HEAD}", style="blocks", old="search", new="replace", empty_old=True
)
SPEC = CarrierSpec(files=FILES, tools=(TOOL,))


def block(path: str, search: str, replace: str = "") -> str:
    return f"{path}\n```python\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n```\n"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (block("calc.py", "def add(a, b):\n", "def plus(a, b):\n"), True),
        ("Here it is:\n\n" + block("calc.py", "def add(a, b):\n    return a + b\n"), True),
        (block("calc.py", "def add(a, c):\n"), False),
        (block("calc.py", "    return a + b\n"), False),
        (block("calc.py", "    return a + b\n\n"), True),
        (block("calc.py", "return a + b\n"), False),
        (block("calc.py", "def add(a, b):\n\n"), False),
        (block("calc.py", "", "import os\n"), True),
        (block("same.txt", "a = 1\nb\na"), False),
        (block("same.txt", "  a = 1\na = 1\n"), True),
        (block("same.txt", "a = 1\nb\n"), False),
        (block("same.txt", "b\n"), False),
        (block("same.txt", "b\na = 1\nb\n"), True),
        (block("part.py", "x\n"), True),
        (block("part.py", "z\n"), False),
        (block("unknown.py", "whatever\n"), True),
        ("<<<<<<< SEARCH\nno path\n=======\n>>>>>>> REPLACE\n", True),
        (block("`calc.py`:", "def add(a, c):\n"), False),
        ("```\ncalc.py\n<<<<<<< SEARCH\nnowhere\n", False),
        (block("calc.py", "def add(a, b):\n") + "\n<<<<<<< SEARCH\nnowhere\n", False),
        (block("calc.py", "def add(a, b):\n", "def a():\n") + block("calc.py", "def a():\n"), True),
        (block("calc.py", "def add(a, b):\n", "def a():\n") + block("calc.py", "def add(a, b):\n"), False),
        (
            block("calc.py", "def add(a, b):\n", "x = '>>>>>>> REPLACE'\n")
            + block("calc.py", "x = '>>>>>>> REPLACE'\n"),
            True,
        ),
        (block("calc.py", "", "end\n") + block("calc.py", "end\n"), True),
        ("a = 1 <<<<<<< SEARCH\nnowhere\n", True),
    ],
)
def test_what_is_searched_for_are_shown_lines(text: str, allowed: bool) -> None:
    state = along(start(SPEC), text)
    assert (state is not None) is allowed
    assert state is None or state.may_end()


def test_files_with_lines_like_markers_are_left_alone() -> None:
    spec = CarrierSpec(files=(KnownFile("a.md", ("Title\n=======\ntext\n",), True),), tools=(TOOL,))
    assert along(start(spec), block("a.md", "nowhere\n")) is not None


def test_a_block_is_held_until_its_divider() -> None:
    text = block("calc.py", "def add(a, b):\n")
    state = along(start(SPEC), text[: text.index("=======")])
    assert state is not None and not state.may_end()
    assert not mask_of(state).all()


@pytest.mark.parametrize("path", ["calc.py", "same.txt", "part.py"])
def test_a_random_model_searches_for_what_is_there(path: str) -> None:
    text = next(file for file in FILES if file.path == path).pieces[0]
    for seed in range(20):
        head = f"{path}\n```\n<<<<<<< SEARCH\n"
        state = along(start(SPEC), head)
        assert state is not None
        (found,) = chat_blocks(head + walk_from(state, seed) + "\n>>>>>>> REPLACE\n")
        padded = "\n" + text.removesuffix("\n") + "\n"
        times = padded.count(f"\n{found.old}")
        assert not found.old or (times >= 1 if path == "part.py" else times == 1), (seed, found)


def test_new_text_leaves_a_file_of_its_language() -> None:
    free = compile_carrier(SPEC, vocabulary(), gates=LOCAL_GATES)
    assert along(free, block("calc.py", "def add(a, b):\n", "def add(a, *b):\n")) is not None
    assert along(free, block("calc.py", "def add(a, b):\n", "def add(a, b:\n")) is None


def test_lines_are_drafted() -> None:
    text = block("calc.py", CALC, CALC.replace("add", "plus"))
    tokens = vocabulary().encode(text)
    state, passes, at = start(SPEC), 0, 0
    while at < len(tokens):
        for token in state.draft(16).tokens:
            if at == len(tokens) or tokens[at] != token:
                break
            state, at = state.advance(token), at + 1
        if at < len(tokens):
            state, at = state.advance(tokens[at]), at + 1
        passes += 1
    assert passes < len(tokens) * 0.5, (passes, len(tokens))


AIDER = """I have *added these files to the chat* so you can go ahead and edit them.

*Trust this message as the true contents of these files!*
Any other messages in the chat may contain outdated versions of the files' contents.

calc.py
```
def add(a, b):
    return a + b
```
"""
ASKED = "Every block has this form:\n\na.py\n```\n<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n```\n"


def test_files_that_aider_shows_are_known_whole() -> None:
    known = known_texts([Turn(role="user", text=AIDER)]).find("calc.py")
    assert known is not None and known.whole
    assert known.pieces == ("def add(a, b):\n    return a + b\n",)


def test_a_file_without_a_last_line_feed_is_not_guessed_at() -> None:
    shown = AIDER.removesuffix("\n```\n") + "```\n\nb.py\n```\nx = 1\n```\n\nc.py\n```\ny = 2\n```\n"
    known = known_texts([Turn(role="user", text=shown)])
    assert known.find("calc.py") is None
    last = known.find("c.py")
    assert last is not None and last.pieces == ("y = 2\n",)


def test_an_answers_blocks_may_have_been_applied_or_not() -> None:
    said = block("calc.py", "def add(a, b):\n", "def plus(a, b):\n")
    known = known_texts([Turn(role="user", text=AIDER), Turn(role="assistant", text=said)]).find("calc.py")
    assert known is not None and not known.whole
    assert [("def add" in piece, "def plus" in piece) for piece in known.pieces] == [(True, False), (False, True)]
    shown_again = AIDER.replace("def add", "def plus")
    turns = [Turn(role="user", text=shown_again), Turn(role="assistant", text=said)]
    again = known_texts(turns).find("calc.py")
    assert again is not None and again.whole


def test_a_block_that_made_a_file_is_known_and_one_of_an_unknown_file_says_nothing() -> None:
    made = known_texts([Turn(role="assistant", text=block("new.py", "", "x = 1\n"))]).find("new.py")
    assert made is not None and not made.whole and made.pieces == ("x = 1\n",)
    assert known_texts([Turn(role="assistant", text=block("new.py", "a\n", "b\n"))]).texts == {}


def test_blocks_are_asked_for_where_one_is_shown() -> None:
    assert asks_for_blocks(ASKED)
    assert not asks_for_blocks(ASKED.replace("=======", "---"))
    assert not asks_for_blocks("Resolve the conflict:\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> main\n")


def test_lines_are_replaced_where_they_are_lines() -> None:
    rng = random.Random(0)
    for _ in range(300):
        lines = [rng.choice(["a\n", "  a\n", "b\n", "\n"]) for _ in range(6)]
        begin = rng.randrange(6)
        old = lines[begin : begin + rng.randrange(1, 3)]
        first = next(at for at in range(6) if lines[at : at + len(old)] == old)
        wanted = [*lines[:first], "new\n", *lines[first + len(old) :]]
        assert lines_replaced("".join(lines), "".join(old), "new\n") == "".join(wanted)
    assert lines_replaced("a\n", "c\n", "x\n") == "a\n"
    assert lines_replaced("a\n", "", "x\n") == "a\nx\n"
