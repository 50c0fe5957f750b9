"""Globs, against a definition that is too slow to use; and what may still become of the beginning of a path."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.edit.policy.paths import Glob, GlobError, wildcards

PARTS = st.sampled_from(["a", "b", "ab", "ba", "a.py", "b.py", "é", ".x"])
GLOBS = st.lists(st.sampled_from(["**", "*", "a", "b", "a*", "*a", "*.py", "?", "?b", "a?*"]), min_size=1, max_size=4)


def named(parts: list[str], path: list[str]) -> bool:
    if not parts:
        return not path
    if parts[0] == "**":
        ends = parts[1:] or ["*"]
        return any(named(ends, path[skip:]) for skip in range(len(path) + 1))
    return bool(path) and like(parts[0], path[0]) and named(parts[1:], path[1:])


def like(part: str, name: str) -> bool:
    if not part:
        return not name
    if part[0] == "*":
        return any(like(part[1:], name[skip:]) for skip in range(len(name) + 1))
    return bool(name) and part[0] in ("?", name[0]) and like(part[1:], name[1:])


@settings(deadline=None)
@given(GLOBS, st.lists(PARTS, min_size=1, max_size=4))
def test_a_glob_names_what_it_should(parts: list[str], path: list[str]) -> None:
    assert Glob("/".join(parts)).matches("/".join(path)) == named(parts, path)


@settings(deadline=None)
@given(GLOBS, st.lists(PARTS, min_size=1, max_size=4), st.data())
def test_no_beginning_of_a_named_path_is_given_up(parts: list[str], path: list[str], data: st.DataObject) -> None:
    glob, text = Glob("/".join(parts)), "/".join(path)
    if glob.matches(text):
        assert glob.may_match(text[: data.draw(st.integers(0, len(text)))])


@settings(deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards(text: str, name: str) -> None:
    assert bool(wildcards(text).fullmatch(name)) == like(text, name)


def test_beginnings_that_lead_nowhere() -> None:
    glob = Glob("src/**/*.py")
    assert glob.may_match("sr") and glob.may_match("src/a/b.tx")
    assert not glob.may_match("srx") and not glob.may_match("test")
    assert not Glob("src/*.py").may_match("src/a/")
    assert not glob.may_match("srcs/a") and not Glob("a.md").may_match("a.mdx")


def test_case_is_ignored_where_asked() -> None:
    assert Glob("Secrets/**", ignore_case=True).matches("secrets/KEY")
    assert not Glob("Secrets/**").matches("secrets/KEY")


@pytest.mark.parametrize(
    "text", ["", "/a", "a/", "a//b", "../a", "a/./b", "a**", "**a/b", "[a]", "{a,b}", "!a", "a\\b"]
)
def test_what_is_no_glob(text: str) -> None:
    with pytest.raises(GlobError):
        Glob(text)


def test_many_stars_end() -> None:
    # Backtracking would take years: pytest's own limit would end it.
    assert not Glob("*a" * 40).matches("a" * 30 + "b" * 900)
