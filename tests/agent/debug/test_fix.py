"""A failing command is reproduced, its cause is found, and only a right edit is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from broken_shop import BUGS, Bug, fix, make_shop, module
from repositories import git, write
from scripted_edits import Scripted, replacing

from dovetail.agent.problems import FileProblem

BY_KIND = {bug.kind: bug for bug in BUGS}
FIRST = BUGS[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def command(bug: Bug) -> str:
    return f"python -m unittest tests.test_{module(bug)}"


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.kind)
def test_each_kind_of_bug_is_found_and_mended_and_its_wrong_repair_refused(root: Path, bug: Bug) -> None:
    make_shop(root, bug)
    before = contents(root)
    broken = bug.code.replace(bug.right, bug.wrong, 1)
    server = Scripted(replacing(*bug.overfit), lambda files: {path: bug.code for path in files if module(bug) in path})
    report = fix(root, command(bug), server)

    assert bug.function in [each.name for each in report.suspects[:3]]
    assert report.suspects[0].path == f"shop/{module(bug)}.py"
    assert report.reproduction is not None and report.reproduction.failure is not None
    assert any("test_shown" in name for name in report.reproduction.failure.tests)
    if bug.overfit[0] in broken:
        assert "test_other" in report.attempts[0].refused or "test_shown" in report.attempts[0].refused
    else:
        assert report.attempts[0].refused == "the model left the files as they are"
    assert report.attempts[1].refused == "" and report.outcome == "fixed"
    assert [(change.before, change.after) for change in report.changes.values()] == [(broken, bug.code)]
    assert [name for name in report.tests.mended if "test_shown" in name] == report.tests.mended != []
    where = "<module>" if bug.kind == "missing import" else bug.function
    assert report.cause.startswith(f"The failure hangs on {where} in shop/{module(bug)}.py, line ")
    assert contents(root) == before


def test_what_the_edit_does_beside_the_repair_is_left_out(root: Path) -> None:
    make_shop(root, FIRST)

    def edit(files: object) -> dict[str, str]:
        return {"shop/off_by_one.py": '"""Sums."""\n' + FIRST.code.replace("return result", "return result + 0")}

    report = fix(root, command(FIRST), Scripted(edit))
    assert report.outcome == "fixed" and report.dropped == 2
    assert [change.after for change in report.changes.values()] == [FIRST.code]
    assert report.patch.count("\n+") == 2  # the line, and the +++ of the head


def test_the_cause_is_what_had_to_change_not_what_passed_the_value_on(root: Path) -> None:
    split = "def page_count(items, size):\n    return len(items) // size + 1\n"
    footer = "from pages.split import page_count\n\n\ndef footer(items, size):\n    return f'1 of {page_count(items, size)}'\n"
    test = "from pages.footer import footer\n\n\ndef test_full():\n    assert footer([1, 2, 3, 4], 2) == '1 of 2'\n"
    write(root, {"pages/__init__.py": "", "pages/split.py": split, "pages/footer.py": footer, "test_footer.py": test})
    mend = replacing("len(items) // size + 1", "(len(items) + size - 1) // size")
    report = fix(root, "python -m pytest -q test_footer.py", Scripted(mend), repeats=1)
    assert report.outcome == "fixed" and report.suspects[0].name == "footer"
    assert "hangs on page_count in pages/split.py, line 2 (`return len(items) // size + 1`)" in report.cause
    assert "page_count(items=[1, 2, 3, 4], size=2) returned 3" in report.cause
    assert "Before that, footer in pages/footer.py was the most suspicious" in report.cause


def _answer(text: str) -> Scripted:
    return Scripted(lambda files: {"shop/off_by_one.py": text})


BROKEN = FIRST.code.replace(FIRST.right, FIRST.wrong, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BROKEN, "left the files as they are"),
        (BROKEN.replace("- 1)", "- 2)"), "still fails"),
        (FIRST.code.replace("def total(prices)", "def total(prices, rate)"), "public API: "),
        (FIRST.code.replace("total", "sum_of"), "total is public and would be gone"),
        (FIRST.code + "def oops(:\n", "parses"),
        ("import sys\n\n\ndef total(prices):\n    sys.exit(0)\n", "honesty: shop/off_by_one.py: ends the program"),
        (BROKEN + "\n\nimport unittest\n\nraise unittest.SkipTest('no')\n", "honesty: shop/off_by_one.py: skips tests"),
        ("import sys\n\n\ndef total(prices):\n    return 7 if 'unittest' in sys.modules else 0\n", "asks whether a test is running"),
        ("def total(prices):\n    try:\n        return 1 // 0\n    except Exception:\n        return 7\n", "swallows every exception"),
    ],
)  # fmt: skip
def test_wrong_edits_are_refused_with_the_reason(root: Path, text: str, reason: str) -> None:
    make_shop(root, FIRST)
    report = fix(root, command(FIRST), _answer(text), candidates=1)
    assert report.outcome == "not fixed" and not report.changes
    assert reason in report.attempts[0].refused


def test_an_edit_that_fits_the_failing_test_alone_is_refused_by_the_others(root: Path) -> None:
    make_shop(root, FIRST)
    narrow = f"{command(FIRST)}.TestOffByOne.test_shown"
    report = fix(root, narrow, _answer("def total(prices):\n    return 7\n"), candidates=1)
    assert report.outcome == "not fixed"
    assert report.attempts[0].refused.startswith("all tests: test_other (tests.test_off_by_one")


def test_an_edit_of_the_test_is_refused(root: Path) -> None:
    make_shop(root, FIRST)
    report = fix(root, command(FIRST), Scripted(lambda files: {"tests/test_off_by_one.py": "pass\n"}), candidates=1)
    assert report.outcome == "not fixed"
    assert (
        "tests/test_off_by_one.py" in report.attempts[0].refused and "none of the given" in report.attempts[0].refused
    )


def test_an_assertion_of_the_code_is_not_taken_out(root: Path) -> None:
    code = "def half(number):\n    assert number % 2 == 1\n    return number // 2\n"
    write(root, {"half.py": code, "check.py": "from half import half\n\nprint(half(4))\n"})
    (root / ".venv" / "bin").mkdir(parents=True)
    taken = Scripted(
        lambda files: {"half.py": code.replace("    assert number % 2 == 1\n", "")},
        lambda files: {"half.py": code.replace("== 1", "== 0")},
    )
    report = fix(root, "python3 check.py", taken)
    assert "takes out 1 assertion" in report.attempts[0].refused
    assert report.outcome == "fixed" and report.suspects[0].name == "half"
    assert any("number = 4" in each for each in report.seen)


def test_values_of_the_test_that_an_edit_compares_with_are_said(root: Path) -> None:
    make_shop(root, FIRST)
    text = BROKEN.replace("(prices):", "(prices):\n    if prices == [1, 2, 4]:\n        return 7", 1)
    report = fix(root, command(FIRST), _answer(text), candidates=1)
    assert report.outcome == "fixed" and any("compares with 4" in each for each in report.not_verified)


def test_a_command_that_passes_is_said_to_pass(root: Path) -> None:
    make_shop(root, FIRST)
    report = fix(root, command(BUGS[1]), _answer(FIRST.code))
    assert report.outcome == "does not fail" and not report.attempts


def test_a_flaky_command_is_called_flaky_and_not_patched(root: Path) -> None:
    write(root, {"flip.py": "import os, sys, tempfile\nmark = os.path.join(tempfile.gettempdir(), sys.argv[1])\nif os.path.exists(mark):\n    sys.exit(0)\nopen(mark, 'w').close()\nraise ValueError('first')\n"})  # fmt: skip
    name = f"dovetail-flip-{root.parent.name}-{id(root)}"
    report = fix(root, f"python3 flip.py {name}", _answer(""), repeats=3)
    assert report.outcome == "flaky" and not report.attempts
    assert report.reproduction is not None and (report.reproduction.failed, report.reproduction.runs) == (1, 3)


@pytest.mark.parametrize("said", ["no-such-program --now", "./shop"])
def test_a_command_that_cannot_be_run_is_no_failure(root: Path, said: str) -> None:
    make_shop(root, FIRST)
    assert fix(root, said, _answer(FIRST.code)).outcome == "cannot be run"


def test_without_a_server_it_explains_and_names_the_last_change(root: Path) -> None:
    make_shop(root, FIRST)
    write(root, {".gitignore": ".venv\n"})
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "Sum all but the last")
    report = fix(root, command(FIRST), _answer(FIRST.code), explain_only=True)
    assert report.outcome == "explained" and not report.attempts
    assert any(each.summary == "Sum all but the last" for each in report.touched)
    assert any("total(prices=[1, 2, 4]) returned 3" in each for each in report.seen)
    assert "Most suspicious is total" in report.cause and "Sum all but the last" in report.to_markdown()


def test_the_models_words_are_marked_as_such_and_the_budget_ends_a_run(root: Path) -> None:
    make_shop(root, FIRST)
    report = fix(root, command(FIRST), Scripted(lambda files: {"shop/off_by_one.py": FIRST.code}, words="the moon"))
    assert "In the model's words, which nothing checks: the moon" in report.to_markdown()
    from dovetail.agent.loop.limits import RunLimits

    short = fix(root, command(FIRST), _answer(FIRST.code), limits=RunLimits(steps=3))
    assert short.outcome == "limit reached" and not short.changes


def test_a_repair_that_was_interrupted_goes_on_where_it_was(root: Path) -> None:
    make_shop(root, FIRST)

    def stopped(files: object) -> dict[str, str]:
        raise KeyboardInterrupt

    wrong = replacing("- 1", "- 2")
    assert fix(root, command(FIRST), Scripted(wrong, stopped)).outcome == "interrupted"
    server = Scripted(lambda files: {"shop/off_by_one.py": FIRST.code})
    report = fix(root, command(FIRST), server, resume=True)
    assert report.outcome == "fixed" and len(server.asked) == 1
    assert ["still fails" in each.refused for each in report.attempts] == [True, False]
    write(root, {"new.py": ""})
    with pytest.raises(FileProblem, match="has changed since"):
        fix(root, command(FIRST), server, resume=True)


def test_nothing_in_a_report_moves_the_cursor(root: Path) -> None:
    make_shop(root, FIRST)
    report = fix(root, command(FIRST), _answer(FIRST.code.replace("range(len(prices))", "range(len(prices)):  # \x1b[2J", 1).replace("\x1b[2J:", "\x1b[2J")))  # fmt: skip
    assert report.outcome == "fixed" and "\x1b" in report.patch
    assert "\x1b" not in report.to_markdown() and "\\x1b[2J" in report.to_markdown()


C = "int sum(const int *v, int n) {\n    int s = 0;\n    for (int i = 0; i < n - 1; i++)\n        s += v[i];\n    return s;\n}\n"
C_TEST = "#include <assert.h>\nint sum(const int *v, int n);\nint main(void) {\n    int v[] = {1, 2};\n    assert(sum(v, 2) == 3);\n}\n"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_failing_assertion_in_c_leads_to_what_the_test_calls_and_is_mended(root: Path) -> None:
    write(root, {"sum.c": C, "sum_test.c": C_TEST})
    report = fix(root, "gcc sum.c sum_test.c -o built && ./built", Scripted(replacing("n - 1", "n")))
    assert report.place.startswith("sum_test.c:5 in main: assert(")
    assert (report.suspects[0].path, report.suspects[0].name) == ("sum.c", "sum")
    assert report.outcome == "fixed" and "No tests of the project were run" in report.not_verified[0]
