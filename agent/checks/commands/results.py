"""Reads what tools print: diagnostics with their places, tests with their outcomes. Runs nothing, trusts no output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from dovetail.agent.checks.finding import Finding

_PLACE = re.compile(
    r"^(?:\./)?(?P<path>[\w@./+\-\\ ]+?\.\w+)(?::(?P<line>\d+)(?::\d+)?:|\((?P<row>\d+),\d+\):)\s*(?P<what>.+)$"
)
_FILE = re.compile(r"^(?:\./|/)?[\w@+\-][\w@./+\-\\ ]*\.\w+$")
_BELOW_FILE = re.compile(r"^\s+(?P<line>\d+):\d+\s+error\s+(?P<what>.+)$")
_TAP = re.compile(r"^\s*(?P<how>ok|not ok) \d+ - (?P<name>[^#]*[^#\s])(?P<skip>\s+# SKIP\b)?")
_GO = re.compile(r"^\s*--- (?P<how>FAIL|PASS|SKIP): (?P<name>\S+)")
_RUST = re.compile(r"^test (?P<name>\S+) \.\.\. (?P<how>ok|FAILED|ignored)")
_UNITTEST = re.compile(r"^(?P<name>\w+ \([\w.]+\))(?:\n.*)? \.\.\. (?P<how>ok|FAIL|ERROR|skipped)", re.MULTILINE)
_HOW = {"PASS": "passed", "ok": "passed", "SKIP": "skipped", "ignored": "skipped", "skipped": "skipped"}
_MOST = 500
_LARGEST_REPORT = 16 << 20


@dataclass(frozen=True)
class TestRun:
    """Outcomes by test id: ``passed``, ``failed``, ``skipped``; failures with what they say.

    ``broken`` says why the run as a whole gave no outcome.
    """

    __test__ = False

    outcomes: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Finding] = field(default_factory=dict)
    broken: str = ""

    @property
    def failed(self) -> set[str]:
        """The tests that failed."""
        return {name for name, outcome in self.outcomes.items() if outcome == "failed"}

    @property
    def passed(self) -> set[str]:
        """The tests that passed."""
        return {name for name, outcome in self.outcomes.items() if outcome == "passed"}


def read_diagnostics(rung: str, output: str) -> list[Finding]:
    """Findings from lines such as ``path:line:column: message`` or ``path(line,column): message``, or listed below a path."""
    found: list[Finding] = []
    file = ""
    for line in output.splitlines():
        file = line if _FILE.match(line) else file
        below = _BELOW_FILE.match(line) if file else None
        if below and len(found) < _MOST:
            found.append(Finding(rung, " ".join(below["what"].split())[:200], file, int(below["line"])))
        match = _PLACE.match(line.strip())
        if match and len(found) < _MOST and ": note:" not in line:
            found.append(
                Finding(rung, match["what"].strip()[:200], match["path"], int(match["line"] or match["row"] or 0))
            )
    return found


def read_junit(rung: str, xml: str) -> TestRun:
    """Outcomes from pytest's report."""
    if len(xml) > _LARGEST_REPORT or "<!DOCTYPE" in xml:
        return TestRun(broken="the report of the tests cannot be used")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return TestRun(broken="the tests left no readable report")
    run = TestRun()
    for case in root.iter("testcase"):
        name = _id(case)
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "failed"
                run.failures[name] = _failure(rung, name, case.get("file", ""), child)
            elif child.tag == "skipped" and outcome != "failed":
                outcome = "skipped"
        if run.outcomes.get(name) != "failed":
            run.outcomes[name] = outcome
    return run


def read_test_lines(rung: str, output: str) -> TestRun:
    """Outcomes from the lines of go test, cargo test, unittest, and TAP as node prints it."""
    run = TestRun()
    for name, how in _named(output):
        outcome = _HOW.get(how, "failed")
        if run.outcomes.get(name) != "failed":
            run.outcomes[name] = outcome
        if outcome == "failed":
            run.failures[name] = Finding(rung, f"{name} fails")
    return run


def _named(output: str) -> Iterator[tuple[str, str]]:
    for line in output.splitlines():
        match = _GO.match(line) or _RUST.match(line)
        if match:
            yield match["name"], match["how"]
        tap = _TAP.match(line)
        if tap:
            yield tap["name"], "skipped" if tap["skip"] else tap["how"]
    for match in _UNITTEST.finditer(output):
        yield match["name"], match["how"]


def _id(case: ElementTree.Element) -> str:
    file, owner, name = case.get("file", ""), case.get("classname", ""), case.get("name", "")
    module = re.sub(r"\.py$", "", file).replace("/", ".")
    inner = owner.removeprefix(module).strip(".") if module else owner
    return "::".join(part for part in (file, inner.replace(".", "::"), name) if part)


def _failure(rung: str, name: str, file: str, failure: ElementTree.Element) -> Finding:
    """The failure's own words, and the innermost line of the project that its traceback names."""
    text = failure.text or ""
    places = re.findall(r"^(?P<path>[\w./\-]+\.py):(?P<line>\d+): ", text, re.MULTILINE)
    here = [(path, int(line)) for path, line in places if "site-packages" not in path and not path.startswith("/")]
    errors = re.findall(r"^E\s+(.+)$", text, re.MULTILINE)
    said = (failure.get("message") or "").strip().splitlines()
    what = errors[0] if errors else said[0] if said else "fails"
    path, line = here[-1] if here else (file, 0)
    return Finding(rung, f"{name.rpartition('::')[2]}: {what}"[:240], path, line)
