"""What tools print, read; and which tools a project brings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repositories import write

from dovetail.agent.checks.commands.results import TestRun, read_diagnostics, read_junit, read_test_lines
from dovetail.agent.checks.commands.run import worse
from dovetail.agent.checks.commands.tools import find_tools
from dovetail.agent.checks.finding import Finding, evidence, new_ones
from dovetail.agent.repo.index import RepoIndex

JUNIT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="tests.test_a" name="test_one" file="tests/test_a.py"/>
<testcase classname="tests.test_a.TestBox" name="test_two[x-1]" file="tests/test_a.py"><failure message="assert 1 == 2">
def test_two():
&gt;       assert f() == 2
E       assert 1 == 2

tests/test_a.py:9: in test_two
shop/a.py:3: AssertionError
/usr/lib/python3/x.py:1: Error</failure></testcase>
<testcase classname="tests.test_a" name="test_three" file="tests/test_a.py"><skipped/></testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure">ImportError</error></testcase>
</testsuite></testsuites>"""


def test_pytests_report() -> None:
    run = read_junit("tests", JUNIT)
    assert run.outcomes == {
        "tests/test_a.py::test_one": "passed",
        "tests/test_a.py::TestBox::test_two[x-1]": "failed",
        "tests/test_a.py::test_three": "skipped",
        "tests.test_b": "failed",
    }
    failure = run.failures["tests/test_a.py::TestBox::test_two[x-1]"]
    assert (failure.path, failure.line, failure.message) == ("shop/a.py", 3, "test_two[x-1]: assert 1 == 2")


@pytest.mark.parametrize("xml", ["", "<a", "<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", "no"])
def test_a_report_that_cannot_be_read_is_no_success(xml: str) -> None:
    assert read_junit("tests", xml).broken


def test_lines_of_other_runners() -> None:
    go = "=== RUN TestA\n--- PASS: TestA (0.00s)\n    --- FAIL: TestB/x (0.00s)\n--- SKIP: TestC (0.00s)\n"
    assert read_test_lines("go test", go).outcomes == {"TestA": "passed", "TestB/x": "failed", "TestC": "skipped"}
    rust = "test a::works ... ok\ntest b ... FAILED\ntest c ... ignored\n"
    assert read_test_lines("cargo", rust).outcomes == {"a::works": "passed", "b": "failed", "c": "skipped"}


def test_diagnostics() -> None:
    output = (
        'a.py:3:7: error: Name "x" is not defined\n./b.py:1: F401 unused\nsrc/c.ts(4,2): error TS1: no\nsomething else\n'
        "a.py:4: note: see\n"
    )
    found = read_diagnostics("t", output)
    assert [(each.path, each.line) for each in found] == [("a.py", 3), ("b.py", 1), ("src/c.ts", 4)]


findings = st.lists(st.builds(Finding, st.just("r"), st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 9)))


@given(findings, findings)
def test_new_findings_are_those_beyond_the_old_ones(before: list[Finding], after: list[Finding]) -> None:
    for finding in (found := new_ones(before, after)):
        assert finding in after
    for identity in {each.identity for each in after}:
        had = sum(each.identity == identity for each in before)
        has = sum(each.identity == identity for each in after)
        assert sum(each.identity == identity for each in found) == max(0, has - had)
    assert not new_ones(after, list(reversed(after)))


outcomes = st.dictionaries(st.sampled_from(["<1>", "<2>", "<3>"]), st.sampled_from(["passed", "failed", "skipped"]))


@given(outcomes, outcomes)
def test_no_test_that_passed_is_lost(before: dict[str, str], after: dict[str, str]) -> None:
    said = " ".join(finding.message for finding in worse("r", TestRun(before), TestRun(after), {}))
    for name, outcome in before.items():
        if outcome == "passed":
            assert (f"{name} " in said) == (after.get(name) != "passed")
    assert not worse("r", TestRun(before), TestRun(before), {})


def test_evidence_is_short_and_harmless() -> None:
    many = [Finding("r", f"wrong {number}\x1b[2J", "a.py", number + 1, "  code  ") for number in range(9)]
    lines = evidence(many).splitlines()
    assert lines[0] == "a.py:1: wrong 0\\x1b[2J | code" and lines[-1] == "... and 4 more" and len(lines) == 6


def test_tools_come_from_the_projects_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repo"
    files = {
        "pyproject.toml": "[tool.mypy]\nstrict = true\n[tool.ruff]\n",
        "tests/test_a.py": "def test_a(): pass\n",
        "package.json": '{"scripts": {"test": "jest"}}',
        "tsconfig.json": "{}",
        "go.mod": "module x\n",
    }
    write(root, files)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    index = RepoIndex.open(root, tmp_path / "cache")
    found = {tool.name: tool for tool in find_tools(root, index.files, ["make check"])}
    assert set(found) == {"mypy", "ruff", "pytest", "tsc", "npm", "go vet", "go test", "make check"}
    assert {name for name, tool in found.items() if tool.missing} == {"tsc", "npm", "go vet", "go test"}
    assert found["mypy"].command[-1] == "." and found["make check"].command[:2] == ("/bin/sh", "-c")
    said = found["make check"].command[2]
    assert said.endswith("\nmake check") and f":{Path(sys.executable).parent}\n" in said  # python and pytest are found
    (root / "pyproject.toml").write_text("not toml [")
    assert "mypy" not in {tool.name for tool in find_tools(root, index.files)}


def test_findings_below_a_path_and_outcomes_as_node_prints_them() -> None:
    eslint = (
        "\n/tree/sum.js\n  3:9  error    'c' is never used  no-unused-vars\n  4:1  warning  odd  x\n\n✖ 1 problem\n"
    )
    assert [(each.path, each.line, each.message) for each in read_diagnostics("eslint", eslint)] == [
        ("/tree/sum.js", 3, "'c' is never used no-unused-vars")
    ]
    tap = "TAP version 13\n# Subtest: a sum\nnot ok 1 - a sum\n    ok 1 - inner\nok 2 - later # SKIP\nok 3\n1..3\n"
    assert read_test_lines("npm", tap).outcomes == {"a sum": "failed", "inner": "passed", "later": "skipped"}
