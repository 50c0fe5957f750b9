"""What new text brings: imports, calls, patterns; what is kept, moved or written again as it was is never found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.edit.policy.combine import FileChange, Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.edit.policy.lines import changed_lines

LAYERS = {
    "imports": [{"id": "layers", "paths": ["domain/**"], "forbid": ["infra", "**/db"], "unless": ["infra.types"]}]
}


def found(table: dict[str, Any], path: str, before: str, after: str, old_path: str | None = None) -> list[str]:
    policy = Policy([parse_policy(table)])
    change = FileChange(old_path or path, path, before.encode(), after.encode())
    return [f"{each.id}:{each.line}" for each in policy.content(change)]


@pytest.mark.parametrize(
    ("path", "text", "refused"),
    [
        ("domain/a.py", "import infra", True),
        ("domain/a.py", "import infra.queue as q", True),
        ("domain/a.py", "import os, infra", True),
        ("domain/a.py", "from infra import queue", True),
        ("domain/a.py", "from infra import *", True),
        ("domain/a.py", "from infra . types import T", False),
        ("domain/a.py", "from infra import types", False),
        ("domain/a.py", "from infra import types, queue", True),
        ("domain/a.py", "import infrastructure", False),
        ("domain/a.py", "import domain.infra", False),
        ("domain/a.py", "import domain.db", True),
        ("domain/a.py", "from .. import infra", True),
        ("domain/a.py", "from ..infra import x", True),
        ("domain/sub/a.py", "from ..infra import x", True),  # domain/infra: inside the project, so anywhere
        ("domain/a.py", "from . import b", False),
        ("domain/a.py", "def f():\n    from infra import x", True),
        ("domain/a.py", "x = 'import infra'", False),
        ("other/a.py", "import infra", False),
        ("domain/a.ts", "import {x} from '../infra/q';", True),
        ("domain/a.ts", "import 'infra/q';", True),
        ("domain/a.ts", "export * from '@app/db';", True),
        ("domain/a.ts", "import r = require('infra');", True),
        ("domain/a.ts", "import {x} from './types';", False),
        ("domain/a.js", "const x = require('infra');", True),
        ("domain/a.js", "const x = await import('../infra/q.js');", True),
        ("domain/a.js", "const x = load('infra');", False),
        ("domain/a.go", 'package d\n\nimport "example.com/app/db"\n', True),
        ("domain/a.go", 'package d\n\nimport (\n\tx "example.com/app/infra"\n)\n', False),
        ("domain/A.java", "import infra.Queue;\nclass A {}", True),
        ("domain/A.java", "import static com.x.db.Q.f;\nclass A {}", True),
    ],
)
def test_imports(path: str, text: str, refused: bool) -> None:
    assert bool(found(LAYERS, path, "", text + "\n")) == refused


@pytest.mark.parametrize(
    ("path", "text", "lines"),
    [
        ("a.py", "eval(x)\ny = os . system('x')\nz = model.eval()\n", [1, 2]),
        ("a.py", "cursor.raw(\n  1)\n", [1]),
        ("a.js", "a?.raw(1);\nnew eval(2);\neval;\n", [1, 2]),
        ("a.go", "package p\n\nfunc f() {\n\tos.system(1)\n}\n", [4]),
        ("A.java", "class A {\n  void f() { os.system(1); x.y.raw(2); new eval(3); }\n}\n", [2, 2, 2]),
        ("a.rs", "fn f() {\n    eval(1);\n    eval!(2);\n}\n", [2, 3]),
        ("a.txt", "eval(x)\n", []),
    ],
)
def test_calls(path: str, text: str, lines: list[int]) -> None:
    table = {"calls": [{"id": "c", "forbid": ["eval", "os.system", "*.raw"]}]}
    assert found(table, path, "", text) == [f"c:{line}" for line in lines]


def test_what_was_there_may_stay() -> None:
    table = {"calls": [{"id": "c", "forbid": ["eval"]}]}
    old = "a = eval(x)\nb = 1\nc = eval(y)\n"
    for new in (
        "b = 1\na = eval(x)\nc = eval(y)\n",
        "def f():\n    a = eval(x)\n    c = eval(y)\n",
        "a = eval(x)\n",
        old + "d = 2\n",
    ):
        assert found(table, "a.py", old, new) == []
    assert found(table, "a.py", old, old.replace("y", "z")) == ["c:3"]
    assert found(table, "a.py", old, old + "d = eval(x)\n") == ["c:4"]
    assert found(table, "a.py", "# eval(x)\n", "eval(x)\n") == ["c:1"]


def test_a_file_that_moves_under_a_rule_is_new_to_it() -> None:
    text = "import infra\n"
    assert found(LAYERS, "domain/a.py", text, text, old_path="infra/a.py") == ["layers:1"]
    assert found(LAYERS, "domain/a.py", text, text, old_path="domain/b.py") == []
    assert found(LAYERS, "infra/a.py", text, text, old_path="domain/a.py") == []


LINES = st.lists(st.sampled_from(["x = f(1)", "y = eval(2)", "import infra", "", "if x:", "    f()", "    eval(3)"]))


@settings(deadline=None)
@given(LINES, st.randoms(use_true_random=False))
def test_reordering_and_leaving_out_bring_nothing(lines: list[str], chance: random.Random) -> None:
    table = {**LAYERS, "calls": [{"id": "c", "forbid": ["eval", "f"]}]}
    flat = [line.strip() for line in lines if not line.endswith(":")]
    kept = [line for line in flat if chance.random() < 0.7]
    chance.shuffle(kept)
    assert (
        found(table, "domain/a.py", "".join(f"{each}\n" for each in flat), "".join(f"{each}\n" for each in kept)) == []
    )


TEXT = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"a\r\n"]), max_size=9).map(b"".join)


@settings(deadline=None)
@given(TEXT, TEXT, st.sampled_from([b"", b"a"]))
def test_changed_lines(one: bytes, other: bytes, end: bytes) -> None:
    before, after = one + end, other
    old, new = (text.replace(b"\r\n", b"\n").splitlines(keepends=True) for text in (before, after))
    table = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, left in enumerate(old):
        for j, right in enumerate(new):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    assert changed_lines(before, after) == len(old) + len(new) - 2 * table[-1][-1]
