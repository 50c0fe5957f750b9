"""The rule packs: every example, and that no pack finds what it should not in plain code."""

from __future__ import annotations

import pytest

from dovetail.serve.edit.policy.combine import FileChange, Policy
from dovetail.serve.edit.policy.document import PatternRule, parse_policy
from dovetail.serve.edit.policy.patterns import check_pattern
from dovetail.serve.edit.policy.rules import pack, pack_names

RULES = pack("default")
SUFFIX = {"python": "py", "javascript": "js", "typescript": "ts", "tsx": "tsx", "go": "go"}


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_every_example(rule: PatternRule) -> None:
    assert rule.bad and rule.good and rule.cwe
    check_pattern(rule, rule.id)


def test_ids_and_packs() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES) >= 30
    assert pack_names() == ("default", "go", "javascript", "python")
    assert set(RULES) == {rule for name in pack_names()[1:] for rule in pack(name)}


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_found_in_new_text_only(rule: PatternRule) -> None:
    policy = Policy([parse_policy({"findings": {"rules": ["default"], "mode": "refuse"}})])
    for language in rule.languages:
        path = f"a.{SUFFIX[language]}"
        head, tail = ("package p\n\nfunc f() {\n", "}\n") if language == "go" else ("", "")
        empty, full = f"{head}{tail}".encode(), f"{head}{rule.bad[0]}\n{tail}".encode()
        found = list(policy.content(FileChange(path, path, empty, full)))
        assert rule.id in [each.id for each in found]
        each = next(each for each in found if each.id == rule.id)
        assert (each.line, each.cwe, each.mode) == (head.count("\n") + 1, rule.cwe, "refuse")
        longer = full.replace(tail.encode() or b"\n", b"\n" + tail.encode(), 1) if tail else full + b"\n"
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
