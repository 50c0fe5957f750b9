"""Documents: what is read, what is refused and with which key, and that more documents only take away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.edit.policy.combine import FileChange, Policy, policy_of
from dovetail.serve.edit.policy.document import PolicyError, parse_policy, read_policy, request_policy
from dovetail.serve.types import SourceFile

QUERY = {"id": "q", "languages": ["python"], "message": "m", "query": '((call function: (_) @f) @match (#eq? @f "f"))'}


@pytest.mark.parametrize(
    ("table", "param"),
    [
        ({"path": {}}, "path"),
        ({"version": 2}, "version"),
        ({"paths": {"alow": []}}, "paths.alow"),
        ({"paths": {"allow": "src"}}, "paths.allow"),
        ({"paths": {"protect": ["a", "b/"]}}, "paths.protect[1]"),
        ({"limits": {"files": -1}}, "limits.files"),
        ({"limits": {"files": True}}, "limits.files"),
        ({"imports": [{"id": "a", "paths": ["**"]}]}, "imports[0].forbid"),
        ({"imports": [{"id": "a", "paths": ["**"], "forbid": ["./x"]}]}, "imports[0].forbid[0]"),
        ({"calls": [{"id": "a", "forbid": []}]}, "calls[0].forbid"),
        ({"calls": [{"id": "a", "forbid": ["f"], "languages": ["pyton"]}]}, "calls[0].languages[0]"),
        ({"calls": [{"id": "a b", "forbid": ["f"]}]}, "calls[0].id"),
        ({"calls": [{"id": "a", "forbid": ["f"], "cwe": "89"}]}, "calls[0].cwe"),
        ({"calls": [{"id": "q", "forbid": ["f"]}], "patterns": [QUERY]}, "patterns[0].id"),
        ({"protected": [{"path": "a", "first_line": 3, "last_line": 2}]}, "protected[0].last_line"),
        ({"patterns": [{**QUERY, "query": "(call"}]}, "patterns[0].query"),
        ({"patterns": [{**QUERY, "query": "(call) @x"}]}, "patterns[0].query"),
        ({"patterns": [{**QUERY, "query": '((call) @match (#no? @match "x"))'}]}, "patterns[0].query"),
        ({"patterns": [{**QUERY, "languages": ["go"]}]}, "patterns[0].query"),
        ({"patterns": [{**QUERY, "bad": ["g()"]}]}, "patterns[0].bad[0]"),
        ({"patterns": [{**QUERY, "good": ["g()", "f()"]}]}, "patterns[0].good[1]"),
        ({"findings": {"rules": ["defaults"]}}, "findings.rules[0]"),
        ({"findings": {"rules": ["default"], "without": ["python/evil"]}}, "findings.without[0]"),
    ],
)
def test_what_is_refused(table: dict[str, Any], param: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy([parse_policy(table)])
    assert caught.value.param == f"policy.{param}"
    assert param in caught.value.message


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(file)
    file.write_text("[paths\n")
    with pytest.raises(PolicyError, match="not valid TOML"):
        read_policy(file)
    file.write_text('[paths]\nallow = ["src/**"]\n[limits]\nfiles = 3\n[[calls]]\nid = "x"\nforbid = ["eval"]\n')
    document = read_policy(file)
    assert (document.limits.files, document.calls[0].mode) == (3, "refuse")


def test_a_request_holds_no_queries() -> None:
    assert request_policy({"findings": {"rules": ["default"]}}).findings.mode == "report"
    with pytest.raises(PolicyError) as caught:
        request_policy({"patterns": [QUERY]})
    assert caught.value.param == "policy.patterns"


def test_a_request_policy_of_very_many_globs_is_refused() -> None:
    rules = [{"id": f"i{each}", "paths": ["**"] * 400, "forbid": ["os"]} for each in range(20)]
    with pytest.raises(PolicyError, match="5000 globs and names"):
        request_policy({"imports": rules})
    assert parse_policy({"imports": rules}).imports


def test_a_digest_names_what_is_said() -> None:
    one, same = parse_policy({}), parse_policy({"paths": {"allow": ["**"]}, "version": 1})
    assert one.digest == same.digest != parse_policy({"limits": {"files": 1}}).digest
    policy = Policy([parse_policy({"findings": {"rules": ["go"]}, "calls": [{"id": "x", "forbid": ["é*"]}]})])
    again = policy_of(policy.texts)
    assert again.digest == policy.digest != Policy([one]).digest
    assert [rule.id for rule in again.patterns] == [rule.id for rule in policy.patterns]


GLOBS = st.lists(st.sampled_from(["**", "src/**", "**/*.py", "src/a.py", "*", "test/*"]), max_size=3)
COUNTS = st.none() | st.integers(0, 6)
TABLES = st.fixed_dictionaries(
    {
        "paths": st.fixed_dictionaries({"allow": GLOBS, "protect": GLOBS, "create": GLOBS}),
        "limits": st.fixed_dictionaries({"files": COUNTS, "changed_lines": COUNTS, "changed_lines_per_file": COUNTS}),
        "api": st.fixed_dictionaries({"freeze": GLOBS}),
        "calls": st.lists(st.sampled_from([{"id": "f", "forbid": ["f"]}, {"id": "g", "forbid": ["*"]}]), max_size=1),
        "protected": st.lists(st.sampled_from([{"path": "src/*", "first_line": 2, "last_line": 9}]), max_size=1),
    }
)
PATHS = ("src/a.py", "src/b/c.py", "test/a.py", "notes.txt")
TEXTS = ("", "x = 1\n", "def f(): pass\ny = 2\n", "y = g()\nx = f()\n" * 2)


@settings(deadline=None)
@given(TABLES, TABLES, st.tuples(*[st.sampled_from(TEXTS)] * 6))
def test_more_documents_only_take_away(one: dict[str, Any], other: dict[str, Any], texts: tuple[str, ...]) -> None:
    first, second = parse_policy(one), parse_policy(other)
    both, alone = Policy([first]).also(second), (Policy([first]), Policy([second]))
    for path in (*PATHS, "src", "tes", ""):
        for question in ("may_edit", "may_create", "may_leave", "may_begin"):
            assert getattr(both, question)(path) == all(getattr(each, question)(path) for each in alone)
    files = [SourceFile(path, text) for path, text in zip(PATHS, texts, strict=False)]
    assert set(both.protected_lines(files)) == {line for each in alone for line in each.protected_lines(files)}
    pairs = zip(PATHS, texts[:3], texts[3:], strict=False)
    changes = [FileChange(path, path, old.encode(), new.encode()) for path, old, new in pairs]
    found = [{each.id for each in policy.findings(changes)} for policy in (both, *alone)]
    assert found[0] == found[1] | found[2]
