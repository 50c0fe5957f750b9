"""What is refused at a line's end: only what every edit that goes on so would be refused for."""

from __future__ import annotations

from typing import Any

import pytest
from byte_pairs import vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import NO_CALLS, NO_IMPORTS, A, feed

from dovetail.serve.constrain.base import Vetoing
from dovetail.serve.edit.compile import PLANS, compile_edit
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.edit.policy_watch import opening
from dovetail.serve.engine.request.guard import Fault, GuardedConstraint, Meter
from dovetail.serve.types import EditSpec, SourceFile

PATTERNS: dict[str, Any] = {"findings": {"rules": ["default"], "mode": "refuse"}}
HEAD = "src/a.py\n<<<<<<< SEARCH\n    return g(x)\n=======\n"


@pytest.mark.parametrize(
    ("table", "text", "refused"),
    [
        (NO_CALLS, "    y = 1\n    return h(x)\n", "    return h(x)"),
        (NO_IMPORTS, "    import re\n", "    import re"),
        (PATTERNS, "    password = 'hunter22'\n", "    password = 'hunter22'"),
        ({"limits": {"changed_lines": 2}}, "    y = 1\n    z = 2\n    w = 3\n", "    w = 3"),
        (NO_CALLS, "    return g(x)\n    y = [\n        1,\n    ]\n", None),
        (NO_CALLS, "    y = '''\n    h(x)\n    '''\n    return g(x)\n", None),
        (PATTERNS, "    password = (\n        'hunter22'\n    )\n", None),
    ],
)
def test_where_a_line_is_refused(table: dict[str, Any], text: str, refused: str | None) -> None:
    accepted = feed("blocks", [A], table, HEAD + text)
    wanted = len(HEAD + text) if refused is None else (HEAD + text).index(refused) + len(refused)
    assert accepted == wanted


def test_after_three_refusals_nothing_goes_on() -> None:
    line = HEAD + "    return h(x)"
    assert feed("blocks", [A], NO_CALLS, line + "\n") == len(line)
    spec = EditSpec(files=(A,), policy=Policy([parse_policy(NO_CALLS)]).texts)
    ledger = Ledger(PLANS["blocks"](spec, vocabulary()))
    watch = opening(ledger, 0, len("import os\n"))
    assert watch is not None
    for text in (b"h(x)", b"h(x) ", b"h(x)  "):
        behind = watch.feed(text, True)
        assert behind is not None and behind.feed(b"\n", True) is None
    assert watch.feed(b"x", True) is None


def test_what_the_model_was_kept_from_is_told() -> None:
    spec = EditSpec(files=(A,), policy=Policy([parse_policy({**NO_CALLS, "limits": {"changed_lines": 2}})]).texts)
    state = compile_edit(spec, vocabulary())
    output = HEAD + "    x = [\n        h(1)]\n>>>>>>> REPLACE\n"
    for byte in output.encode():
        token = vocabulary().prefixes[bytes((byte,))][0]
        if not state.allows(token):
            break
        state = state.advance(token)
    guarded = GuardedConstraint(state, Fault(), Meter())
    assert isinstance(state, Vetoing)
    told = [(each.id, each.path, each.line, each.decided) for each in guarded.vetoes()]
    assert told == [("no-calls", "src/a.py", 6, "decoding")]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"changed_lines": 1}, "changed_lines"),
        ({"changed_lines_per_file": 1}, "changed_lines_per_file"),
        ({"changed_lines": 9, "changed_lines_per_file": 1}, "changed_lines_per_file"),
    ],
)
@pytest.mark.parametrize("replacement", ["    y = 1\n    z = 1\n", "    y = (\n    1)"])
def test_the_limit_that_was_in_the_way_is_named(limits: dict[str, int], name: str, replacement: str) -> None:
    spec = EditSpec(files=(A,), policy=Policy([parse_policy({"limits": limits})]).texts)
    state = compile_edit(spec, vocabulary())
    for byte in f"{HEAD}{replacement}\n>>>>>>> REPLACE\n".encode():
        token = vocabulary().prefixes[bytes((byte,))][0]
        if not state.allows(token):
            break
        state = state.advance(token)
    told = [each.id for each in GuardedConstraint(state, Fault(), Meter()).vetoes()]
    assert told == [f"limits/{name}"]


LINES = [
    "h(1)",
    "x = g(2)",
    "import re",
    "y = 3",
    "if y:",
    "    k(y)",
    "'''",
    "z = (",
    ")",
    "# h(4)",
    "def f(): return 1",
    "",
]
FILE = SourceFile("src/a.py", "import re\nx = g(2)\ny = 3\nh(1)\nif y:\n    pass\n")
GO = SourceFile("src/a.go", 'package p\n\nimport "re"\n\nfunc f() {\n\th(1)\n}\n')
GO_LINES = ['import "fmt"', "func g() {", "\th(2)", "}", "var x = h(1)", "/*", "*/", "import (", '\t"re"', ")", ""]
TABLE = {**NO_CALLS, **NO_IMPORTS, "limits": {"changed_lines": 7}, "findings": PATTERNS["findings"]}


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from([(FILE, LINES), (GO, GO_LINES)]))
def test_a_refused_line_is_refused_at_every_end(data: st.DataObject, what: tuple[SourceFile, list[str]]) -> None:
    file, lines = what
    bounds = [0]
    for line in file.content.splitlines(keepends=True):
        bounds.append(bounds[-1] + len(line))
    start, end = sorted(data.draw(st.tuples(st.sampled_from(bounds), st.sampled_from(bounds))))
    spec = EditSpec(files=(file,), format="whole_file", policy=Policy([parse_policy(TABLE)]).texts)
    ledger = Ledger(PLANS["whole_file"](spec, vocabulary()))
    watch, text = opening(ledger, 0, start), ""
    for line in data.draw(st.lists(st.sampled_from(lines), max_size=8)):
        text += line + "\n"
        watch = watch.feed(line.encode() + b"\n", True) if watch is not None else None
        if watch is None:
            break
    if watch is not None:
        return
    assert ledger.policing is not None
    for rest in data.draw(st.lists(st.lists(st.sampled_from(lines), max_size=5), min_size=3, max_size=3)):
        whole = (text + "".join(line + "\n" for line in rest)).encode()
        assert not ledger.policing.ask(0, Quote(start, end), whole).holds, whole
