"""Which changes of a Python package old callers may stumble over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from repositories import write

from dovetail.agent.checks.api import PublicApi
from dovetail.agent.checks.case import Case, Change, Grants
from dovetail.agent.repo.index import RepoIndex

MODULE, PACKAGE = "pkg/m.py", "pkg/__init__.py"
FILES = {
    PACKAGE: "from pkg.m import C, f\n",
    MODULE: '''"""A module."""

LIMIT = 3


def f(a, b=1, *, c=2):
    return a


def g(*args, **more):
    return args


class Base:
    def base(self): ...


class C(Base):
    size = 1

    def __init__(self, x):
        self.x = x

    def put(self, y, z=0): ...

    @property
    def area(self): ...

    @staticmethod
    def make(q): ...

    @classmethod
    def of(cls, q): ...


def _private(a): ...


async def go(a): ...
''',
}
PUT = "    def put(self, y, z=0): ...\n"
F = "def f(a, b=1, *, c=2):\n    return a\n"


def module(old: str, new: str) -> dict[str, str]:
    assert old in FILES[MODULE]
    return {MODULE: FILES[MODULE].replace(old, new)}


BROKEN = {
    "f is public and would be gone": module(F, ""),
    "f: the parameter b would be gone": module("b=1, *", "*"),
    "f: the parameter a would be gone": module(F, F.replace("a,", "aa,").replace("return a", "return aa")),
    "f: the parameter b would have no default": module("b=1", "b"),
    "f: the new parameter d has no default": module("c=2)", "c=2, d)"),
    "f: the parameter b could not be given as before": module("a, b=1, *", "a, *, b=1"),
    "g: it would take no further arguments": module("*args, **more", "*args"),
    "C.put is public and would be gone": module(PUT, ""),
    "C.__init__: the new parameter w": module("self, x)", "self, x, w)"),
    "C would lose one of its bases": module("C(Base)", "C"),
    "LIMIT is public": module("LIMIT = 3\n", ""),
    "C.size is public": module("    size = 1\n", ""),
    "C.x is public": module("self.x = x", "pass"),
    "C.area would become: function, not attribute": module("    @property\n", ""),
    "C.make: ": module("    @staticmethod\n    def make(q)", "    def make(self, q)"),
    "C.of: ": module("    @classmethod\n    def of(cls, q)", "    def of(self, q)"),
    "go would not be a coroutine": module("async def go", "def go"),
    "C would not be re-exported": {PACKAGE: "from pkg.m import f\n"},
    "f would not be re-exported": {PACKAGE: "from pkg.m import C, f as ff\n"},
}
SOUND = {
    "a new optional parameter": module("c=2)", "c=2, d=3)"),
    "another default": module("b=1", "b=7"),
    "another value": module("LIMIT = 3", "LIMIT = 4"),
    "a method that went to a base": {
        MODULE: FILES[MODULE].replace(PUT, "").replace("class Base:\n", f"class Base:\n{PUT}")
    },
    "something private": module("_private(a)", "_private(a, b)"),
    "a decorator": module("def f(a", "@property\ndef h(self): ...\n\n\ndef f(a"),
    "what went to another module": {**module(F, "from pkg.n import f\n"), "pkg/n.py": F},
    "something new": module("LIMIT = 3\n", "LIMIT = 3\nMOST = 4\n"),
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RepoIndex]:
    folder = tmp_path_factory.mktemp("api")
    write(folder / "before", FILES)
    with RepoIndex.open(folder / "before", folder / "cache") as index:
        yield index


def findings(before: RepoIndex, folder: Path, edit: dict[str, str], grants: Grants) -> list[str]:
    write(folder / "after", {**FILES, **edit})
    changes = {path: Change(FILES.get(path), text) for path, text in edit.items()}
    with RepoIndex.open(folder / "after", folder / "cache") as after:
        return [str(each) for each in PublicApi().findings(Case(before, after, changes, frozenset(changes), grants))]


@pytest.mark.parametrize("said", BROKEN)
def test_what_old_callers_notice(before: RepoIndex, tmp_path: Path, said: str) -> None:
    found = findings(before, tmp_path, BROKEN[said], Grants())
    assert any(said in each for each in found)
    name = said.split()[0].rstrip(":")
    assert not findings(before, tmp_path, BROKEN[said], Grants(api=(name,)))


@pytest.mark.parametrize("what", SOUND)
def test_what_old_callers_do_not_notice(before: RepoIndex, tmp_path: Path, what: str) -> None:
    assert not findings(before, tmp_path, SOUND[what], Grants())
