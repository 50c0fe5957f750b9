"""Policies while decoding: whatever a random model writes keeps to them, and it always gets to an end."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from byte_pairs import spelled, vocabulary
from driver import generate
from formats import NAMES, compiled, favourites, landed
from policies import NO_CALLS, NO_IMPORTS, A, feed
from samples import FILES
from tree_sitter import Node, Parser

from dovetail.serve.constrain.syntax.languages import grammar
from dovetail.serve.edit.apply import Applied
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.policing import findings_of
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.types import EditFormat, EditSpec, SourceFile, SyntaxGating

HARSH: list[dict[str, Any]] = [
    {"paths": {"allow": []}},
    {"paths": {"protect": ["**/*.py"], "create": ["new/**/*.py"]}},
    {"paths": {"allow": [], "create": ["new.txt"]}},
    {"paths": {"protect": ["**/*.*"], "allow": ["new"]}},
    {"limits": {"changed_lines": 3}},
    {"limits": {"changed_lines_per_file": 1, "files": 1}},
    {"limits": {"changed_lines": 0}},
    {"limits": {"files": 0}},
    {"api": {"freeze": ["**"]}},
    {**NO_CALLS, **NO_IMPORTS},
    {**NO_CALLS, "api": {"freeze": ["**"]}, "limits": {"changed_lines": 8, "files": 2}},
    {
        "protected": [{"path": "**", "first_line": 1, "last_line": 3}],
        "findings": {"rules": ["default"], "mode": "refuse"},
    },
]
CALLS = {"call": "python", "call_expression": "", "new_expression": ""}


def run(
    name: EditFormat, files: list[SourceFile], table: dict[str, Any], seed: int, syntax: SyntaxGating = "each"
) -> Applied:
    """What a random model makes of the files, applied and judged."""
    chance = random.Random(seed)
    policy = Policy([parse_policy(table)])
    operations = FORMATS[name].operations
    state, markers = compiled(name, files, syntax=syntax, operations=operations, policy=policy.texts)
    outcome = generate(state, vocabulary(), 160, chance, chance.choice([0.3, 0.7, 0.95]), favourites=favourites(name))
    protected = policy.protected_lines(files)
    after = landed(name, spelled(outcome.tokens), files, markers, syntax=syntax, protected=protected)
    assert [each for each in findings_of(policy, after) if each.mode == "refuse"] == []
    by_hand(table, after)
    return after


def by_hand(table: dict[str, Any], after: Applied) -> None:
    """The same, by other means."""
    touched = [(old, new) for old, new in after.pairs if old != new]
    limits = table.get("limits", {})
    assert len(touched) <= limits.get("files", 99)
    counts = [_lines(old.content if old else "", new.content if new else "") for old, new in touched]
    assert all(count <= limits.get("changed_lines_per_file", 999) for count in counts)
    for old, new in touched:
        path = (old or new).path  # type: ignore[union-attr]
        assert table.get("paths", {}).get("allow") != []
        if "protect" in table.get("paths", {}):
            assert not path.endswith(".py") or (old is None and path.startswith("new/"))
        if table.get("api") and path.endswith((".py", ".go", ".ts", ".js")) and old is not None:
            assert new is not None and new.path == old.path
        if table.get("calls") and new is not None and new.path.endswith((".py", ".go", ".js", ".ts")):
            assert not _calls(new) - (_calls(old) if old else Counter())


def _lines(before: str, after: str) -> int:
    """A lower bound: what is not even there in another order."""
    old, new = Counter(before.split("\n")), Counter(after.split("\n"))
    return max(0, sum((old - new).values()) + sum((new - old).values()) - 2)  # a last line without its end may count


def _calls(file: SourceFile) -> Counter[str]:
    language = {"py": "python", "go": "go", "js": "javascript", "ts": "typescript"}[file.path.rpartition(".")[2]]
    pending: list[Node] = [Parser(grammar(language)).parse(file.content.encode()).root_node]
    found: Counter[str] = Counter()
    while pending:
        node = pending.pop()
        pending += node.children
        if node.type in CALLS:
            found["".join((node.text or b"").decode().split())] += 1
    return found


@pytest.mark.parametrize("number", range(len(HARSH)))
@pytest.mark.parametrize("name", NAMES)
def test_harsh_policies(name: EditFormat, number: int) -> None:
    for seed in range(6):
        chance = random.Random(100 * number + seed)
        files = [FILES[path] for path in chance.sample(sorted(FILES), chance.choice([1, 3]))]
        syntax: SyntaxGating = chance.choice(["each", "each", "final", "off"])
        run(name, files, HARSH[number], seed, syntax)


@pytest.mark.parametrize("name", NAMES)
def test_something_still_gets_done(name: EditFormat) -> None:
    table = {**NO_CALLS, **NO_IMPORTS, "limits": {"changed_lines": 12}}
    files = [FILES["notes.txt"], FILES["plain.py"]]
    done = sum(bool(run(name, files, table, seed).changed) for seed in range(16))
    assert done


B = SourceFile("lib/b.py", "y = 2\n")
HEAD = "src/a.py\n<<<<<<< SEARCH\n    return g(x)\n=======\n"


@pytest.mark.parametrize(
    ("table", "output", "refused_from"),
    [
        ({"paths": {"protect": ["src/**"]}}, HEAD, "src/a.py\n"),
        ({"paths": {"allow": ["lib/**"]}}, HEAD, "src/a.py\n"),
        ({"paths": {"create": ["lib/**"]}}, "other/c.py\n", "other"),
        ({"limits": {"files": 1}}, HEAD + "    return x\n>>>>>>> REPLACE\nlib/b.py\n", "lib"),
        ({"limits": {"changed_lines": 2}}, HEAD + "    return x\n>>>>>>> REPLACE\nlib/b.py\n", "lib"),
        ({"limits": {"changed_lines": 2}}, HEAD + "    return x\n    z = 1\n>>>>>>> REPLACE\n", ">>>>>>> REPLACE"),
        (NO_CALLS, HEAD + "    return h(x)\n>>>>>>> REPLACE\n", ">>>>>>> REPLACE"),
        (NO_IMPORTS, HEAD + "    import re\n    return g(x)\n>>>>>>> REPLACE\n", ">>>>>>> REPLACE"),
        ({"api": {"freeze": ["**"]}}, HEAD.replace("    return g(x)", "def f(x):") + "def f(x, y):\n>>>>>>> REPLACE\n", ">>>>>>> REPLACE"),
        ({"protected": [{"path": "src/*", "first_line": 5, "last_line": 9}]}, HEAD, "    return"),
        ({**NO_CALLS, **NO_IMPORTS}, HEAD + "    return g(x)\n    # h(x)\n>>>>>>> REPLACE\n", None),
        ({"limits": {"changed_lines": 2}}, HEAD + "    return x\n>>>>>>> REPLACE\n", None),
    ],
)  # fmt: skip
def test_where_it_is_refused(table: dict[str, Any], output: str, refused_from: str | None) -> None:
    files = [A, B]
    assert feed("blocks", files, {}, output) == len(output)
    accepted = feed("blocks", files, table, output)
    if refused_from is None:
        assert accepted == len(output)
    else:
        assert accepted < len(output)
        assert accepted <= output.rindex(refused_from) + len(refused_from)


def test_a_move_is_judged_where_it_goes() -> None:
    table = {"imports": [{"id": "layers", "paths": ["domain/**"], "forbid": ["os"]}]}
    move = "```diff\nrename from src/a.py\nrename to domain/a.py\n"
    assert feed("unified_diff", [A], table, move) == len(move) - 1
    elsewhere = move.replace("domain", "other")
    assert feed("unified_diff", [A], table, elsewhere) == len(elsewhere)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_made_where_it_may(name: EditFormat) -> None:
    table = {"paths": {"allow": ["notes.md", "new/**"], "protect": ["notes.md"]}}
    made = {new.path for seed in range(30) for _, new in run(name, [FILES["notes.txt"]], table, seed).pairs if new}
    assert all(path == "notes.txt" or path.startswith("new/") for path in made)
    assert len(made) > 1


@pytest.mark.parametrize(("new", "fits"), [("x", True), ("x\nb", True), ("x\ny", False), ("f(1)", False)])
def test_line_ends_and_byte_order_marks_do_not_count(new: str, fits: bool) -> None:
    file = SourceFile("a.py", "\ufeffa = 1\r\nb\r\nc = 2\nd = 3\r\n")
    policy = Policy([parse_policy({**NO_CALLS, "limits": {"changed_lines": 2}})])
    spec = EditSpec(files=(file,), line_ends="own", policy=policy.texts)
    state = compile_edit(spec, vocabulary())
    output = f"a.py\n<<<<<<< SEARCH\nb\n=======\n{new}\n>>>>>>> REPLACE\n"
    for byte in output.encode():
        token = vocabulary().prefixes[bytes((byte,))][0]
        if not state.allows(token):
            break
        state = state.advance(token)
    assert state.may_end() == fits


C_FILE = SourceFile("a.c", "void f(char *s) {\n    gets(s);\n    puts(s);\n}\n")
TO = "a.c\n<<<<<<< SEARCH\n    puts(s);\n=======\n"


@pytest.mark.parametrize("rules", [["default"], ["memory"], ["CWE-242"], ["c/gets"]])
def test_rules_of_the_pack_hold_new_text_and_leave_old_code_quotable(rules: list[str]) -> None:
    table = {"findings": {"rules": rules, "mode": "refuse"}}
    bad = TO + "    gets(s);\n>>>>>>> REPLACE\n"
    assert feed("blocks", [C_FILE], {}, bad) == len(bad)
    assert feed("blocks", [C_FILE], table, bad) < len(bad)
    good = TO + "    fgets(s, 9, stdin);\n>>>>>>> REPLACE\n"
    assert feed("blocks", [C_FILE], table, good) == len(good)
    quoted = 'a.c\n<<<<<<< SEARCH\n    gets(s);\n    puts(s);\n=======\n    gets(s);\n    puts("x");\n>>>>>>> REPLACE\n'
    assert feed("blocks", [C_FILE], table, quoted) == len(quoted)
