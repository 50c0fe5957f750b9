"""The rule packs: every example, and that no pack finds what it should not in plain code."""

from __future__ import annotations

import pytest

from dovetail.serve.edit.policy.combine import FileChange, Policy
from dovetail.serve.edit.policy.document import PatternRule, PolicyError, parse_policy
from dovetail.serve.edit.policy.patterns import check_pattern
from dovetail.serve.edit.policy.rules import GROUPS, pack, pack_names, rules_named

RULES = pack("default")
SUFFIX = {
    "python": "py",
    "javascript": "js",
    "typescript": "ts",
    "tsx": "tsx",
    "go": "go",
    "java": "java",
    "c": "c",
    "cpp": "cpp",
}
IN_FUNCTION = {"go": ("package p\n\nfunc f() {\n", "}\n"), "c": ("void f(void) {\n", "}\n")}
IN_FUNCTION["cpp"] = IN_FUNCTION["c"]
TOP_LEVEL = {"go/profiler-served": ("package p\n\n", ""), "c/hard-coded-secret": ("", "")}


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_every_example(rule: PatternRule) -> None:
    assert rule.bad and len(rule.good) >= 2 and rule.cwe and rule.fix and rule.message.endswith(".")
    check_pattern(rule, rule.id)


def test_ids_and_packs() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES) >= 130
    assert pack_names() == ("default", "c", "go", "java", "javascript", "python")
    assert set(RULES) == {rule for name in pack_names()[1:] for rule in pack(name)}


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_found_in_new_text_only(rule: PatternRule) -> None:
    policy = Policy([parse_policy({"findings": {"rules": ["default"], "mode": "refuse"}})])
    for language in rule.languages:
        path = f"a.{SUFFIX[language]}"
        head, tail = TOP_LEVEL.get(rule.id, IN_FUNCTION.get(language, ("", "")))
        empty, full = f"{head}{tail}".encode(), f"{head}{rule.bad[0]}\n{tail}".encode()
        found = list(policy.content(FileChange(path, path, empty, full)))
        assert rule.id in [each.id for each in found]
        each = next(each for each in found if each.id == rule.id)
        assert (each.line, each.cwe, each.mode) == (head.count("\n") + 1, rule.cwe, "refuse")
        longer = full.removesuffix(tail.encode()) + b"\n" + tail.encode()
        assert not list(policy.content(FileChange(path, path, full, longer)))
        assert not list(policy.content(FileChange(path, path, full, empty)))


def test_off_unless_asked_for() -> None:
    change = FileChange("a.py", "a.py", b"", b"eval(x)\n")
    assert not list(Policy([parse_policy({})]).content(change))
    without = parse_policy({"findings": {"rules": ["python"], "without": ["python/eval"]}})
    assert not list(Policy([without]).content(change))
    reported = Policy([parse_policy({"findings": {"rules": ["python"]}})])
    assert [each.mode for each in reported.content(change)] == ["report"]
    assert not list(reported.content(change, refused_only=True))


def test_rules_are_asked_for_by_group_weakness_or_id() -> None:
    assert {rule.cwe for rule in RULES} == frozenset().union(*GROUPS.values())
    assert sum(len(rules_named(group)) for group in GROUPS) == len(RULES)
    change = FileChange("a.py", "a.py", b"", b"eval(x)\nhashlib.md5(y)\n")
    for name, found in (
        ("injection", "python/eval"),
        ("CWE-95", "python/eval"),
        ("python/weak-hash", "python/weak-hash"),
    ):
        policy = Policy([parse_policy({"findings": {"rules": [name]}})])
        assert [each.id for each in policy.content(change)] == [found]
        assert all(each.fix for each in policy.content(change))
    with pytest.raises(PolicyError, match="'CWE-1' is no pack, group, CWE or id"):
        Policy([parse_policy({"findings": {"rules": ["CWE-1"]}})])
