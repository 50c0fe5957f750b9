"""The local judge against Python's parser on the whole file: the same verdict, always."""

from __future__ import annotations

import ast
import random
import warnings

import pytest
from byte_pairs import LIBRARY
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.constrain.syntax.change import Change, changed
from dovetail.serve.constrain.syntax.python import PythonJudge

STATEMENTS = st.sampled_from(
    [
        "x = 1\n",
        "x = 1; y = 2\n",
        "x = 1; \\\ny = 2\n",
        "if x:\n    y\nelse:\n    z\n",
        "@d\ndef f():\n    return 'é'\n",
        "\n",
        "# c\n",
        "    # d\n",
        's = """\nx = 1\n"""\n',
        "class A:\n    def f(self):\n        pass\n\n    x = 1\n",
        "try:\n    a\nfinally:\n    b\n",
        "f(1,\n  2)\n",
        "x = \\\n    2\n",
        "\x0cx = 1\n",
        "x = 1\r\n",
        "# coding: latin-1\n",
        "\ufeff",
        "x = 1",
    ]
)
PIECES = STATEMENTS | st.sampled_from(
    [
        "",
        "\\\n",
        "(",
        '"""',
        "else:\n",
        "    y\n",
        "\t",
        ":",
        "'\r'",
        "\x00",
        "\ufeff",
        "@d\n",
        "é",
        "if x: pass",
        "coding: no\n",
    ]
)


def _whole(content: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


@settings(max_examples=700, deadline=None)
@given(
    st.lists(STATEMENTS, max_size=7), st.lists(st.tuples(st.integers(0, 90), st.integers(0, 25), PIECES), max_size=2)
)
def test_the_same_verdict(statements: list[str], edits: list[tuple[int, int, str]]) -> None:
    text = "".join(statements)
    changes, position = [], 0
    for start, length, piece in sorted(edits):
        begin = max(position, min(start, len(text)))
        end = min(len(text), begin + length)
        changes.append(Change(len(text[:begin].encode()), len(text[:end].encode()), piece.encode()))
        position = end
    original = text.encode()
    judge = PythonJudge(original)
    assert judge.sound == _whole(original)
    assert judge.accepts(changes) == _whole(changed(original, changes))


@pytest.mark.parametrize("name", ["argparse.py", "heapq.py"])
def test_the_same_verdict_on_line_changes_of_real_files(name: str) -> None:
    original = (LIBRARY / name).read_bytes()[:30_000].rpartition(b"\n\n\n")[0] + b"\n"
    judge = PythonJudge(original)
    assert judge.sound
    chance = random.Random(name)
    lines = original.splitlines(keepends=True)
    verdicts = []
    for _ in range(40):
        first = chance.randrange(len(lines))
        last = first + chance.randrange(4)
        start = sum(map(len, lines[:first]))
        end = start + sum(map(len, lines[first:last]))
        replacement = chance.choice([b"", b"x = 1\n", original[start:end] * 2, b"    y\n", b'"""\n', b"pass"])
        content = changed(original, [Change(start, end, replacement)])
        verdicts.append(judge.accepts([Change(start, end, replacement)]))
        assert verdicts[-1] == _whole(content)
    assert len(set(verdicts)) == 2


def test_a_small_change_of_a_long_file_is_judged_by_a_small_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    original = (LIBRARY / "argparse.py").read_bytes() * 3
    judge = PythonJudge(original)
    place = original.index(b"import os", len(original) // 2)
    parsed: list[str | bytes] = []
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda content: (parsed.append(content), parse(content))[1])
    assert judge.accepts([Change(place, place + 9, b"import re")])
    assert parsed and sum(map(len, parsed)) < len(original) // 100
