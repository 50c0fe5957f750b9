"""The frozen surface of a file: what counts as a change of it, and what does not."""

from __future__ import annotations

import pytest

from dovetail.serve.edit.policy.combine import FileChange, Policy
from dovetail.serve.edit.policy.document import parse_policy

POLICY = Policy([parse_policy({"api": {"freeze": ["**"]}})])
PYTHON = """import os
from typing import Any as Anything
from x import y as y

LIMIT: int = 3
_hidden = 1


def f(a, b=1, *, c: int) -> str:
    return a


@cache
async def g(): ...


class K(Base):
    size = 1

    def m(self, x): return x

    @property
    def p(self): return 1

    def _private(self): pass

    def __len__(self): return 0


if os.name == "nt":
    def only_here(): pass
"""
TYPESCRIPT = """import { z } from './z';
export const LIMIT: number = 3, pick = (a: string): string => a;
export function f(a: string, b = 1): void { z(a); }
export default class K<T> extends Base {
  private secret = 1;
  #own = 2;
  size?: number;
  m(x: T): void {}
  get p() { return 1; }
}
export interface I { x: number }
export type U = 'a' | 'b';
export { z, z as renamed };
export * from './all';
function local() {}
"""
GO = """package p

import "fmt"

const Limit, small = 3, 4

var Table map[string]int

type S struct {
	A, b int
	*Base
}

type I interface{ M(x int) }

func F(a int, b ...string) (int, error) { return a, nil }

func (s *S) M(x int) { fmt.Println(x) }

func local() {}
"""


def broken(path: str, before: str, after: str) -> list[str]:
    found = POLICY.content(FileChange(path, path, before.encode(), after.encode()))
    return [each.message.split("exports: ")[1].split(" ")[0] for each in found if each.id == "api/freeze"]


@pytest.mark.parametrize(
    ("path", "text", "old", "new", "names"),
    [
        ("a.py", PYTHON, "return a", "return a + 1", []),
        ("a.py", PYTHON, "LIMIT: int = 3", "LIMIT: int = 4", []),
        ("a.py", PYTHON, "_hidden = 1\n", "", []),
        ("a.py", PYTHON, "def _private(self)", "def _other(self, x)", []),
        ("a.py", PYTHON, "import os\n", "import os\nimport re\n\ndef extra(): pass\n", []),
        ("a.py", PYTHON, "from typing import Any as Anything\n", "", []),
        ("a.py", PYTHON, "def f(a, b=1, *, c: int)", "def f(\n    a,\n    b=1, *,\n    c: int,\n)", []),
        ("a.py", PYTHON, "LIMIT: int", "LIMIT: float", ["LIMIT"]),
        ("a.py", PYTHON, "b=1", "b=2", ["f"]),
        ("a.py", PYTHON, "-> str", "-> int", ["f"]),
        ("a.py", PYTHON, "async def g", "def g", ["g"]),
        ("a.py", PYTHON, "@cache\n", "", ["g"]),
        ("a.py", PYTHON, "(Base)", "", ["K"]),
        ("a.py", PYTHON, "size = 1", "width = 1", ["K.size"]),
        ("a.py", PYTHON, "def m(self, x)", "def m(self, x, y)", ["K.m"]),
        ("a.py", PYTHON, "def __len__(self)", "def __bool__(self)", ["K.__len__"]),
        ("a.py", PYTHON, "from x import y as y", "from x import y", ["y"]),
        ("a.py", PYTHON, "only_here", "nowhere", ["only_here"]),
        ("a.py", PYTHON, "class K", "class L", ["K", "K.size", "K.m", "K.p", "K.__len__"]),
        ("a.py", "__all__ = ['_a']\ndef _a(): pass\ndef b(): pass\n", "def b", "def c", []),
        ("a.py", "__all__ = ['_a']\ndef _a(): pass\n", "_a():", "_a(x):", ["_a"]),
        ("a.py", "__all__ = ['a', 'b']\na = b = 1\nb = 2\n", "['a', 'b']", "['a']", ["b"]),
        ("p/__init__.py", "from x import y, z\n", "y, z", "y", ["z"]),
        ("a.ts", TYPESCRIPT, "z(a);", "z(b);", []),
        ("a.ts", TYPESCRIPT, "function local() {}", "", []),
        ("a.ts", TYPESCRIPT, "private secret", "private other", []),
        ("a.ts", TYPESCRIPT, "#own = 2;", "", []),
        ("a.ts", TYPESCRIPT, "=> a;", "=> a + a;", []),
        ("a.ts", TYPESCRIPT, "LIMIT: number", "LIMIT: string", ["LIMIT"]),
        ("a.ts", TYPESCRIPT, "(a: string): string", "(a: number): string", ["pick"]),
        ("a.ts", TYPESCRIPT, "b = 1", "b: number", ["f"]),
        ("a.ts", TYPESCRIPT, "size?:", "size:", ["default.size"]),
        ("a.ts", TYPESCRIPT, "m(x: T)", "m(x: T, y: T)", ["default.m"]),
        ("a.ts", TYPESCRIPT, "get p()", "p()", ["default.p"]),
        ("a.ts", TYPESCRIPT, "K<T> extends Base", "K<T>", ["default"]),
        ("a.ts", TYPESCRIPT, "{ x: number }", "{ x: number; y: number }", ["I"]),
        ("a.ts", TYPESCRIPT, "'a' | 'b'", "'a'", ["U"]),
        ("a.ts", TYPESCRIPT, ", z as renamed", "", ["renamed"]),
        ("a.ts", TYPESCRIPT, "export * from './all';\n", "", ["export"]),
        ("a.js", "export const a = 1;\n", "export const a", "const a", ["a"]),
        ("a.go", GO, "fmt.Println(x)", "fmt.Print(x)", []),
        ("a.go", GO, "func local() {}", "", []),
        ("a.go", GO, "A, b int", "A int", []),
        ("a.go", GO, "A, b int", "A, b string", ["S.A"]),
        ("a.go", GO, "*Base", "Other", ["S.Base"]),
        ("a.go", GO, "Limit, small", "limit, small", ["Limit"]),
        ("a.go", GO, "map[string]int", "map[int]int", ["Table"]),
        ("a.go", GO, "M(x int) }", "M(x int); N() }", ["I"]),
        ("a.go", GO, "b ...string", "b []string", ["F"]),
        ("a.go", GO, "(s *S)", "(s S)", ["S.M"]),
        ("a.go", GO, "func F(", "func f(", ["F"]),
    ],
)
def test_changes(path: str, text: str, old: str, new: str, names: list[str]) -> None:
    assert old in text
    assert broken(path, text, text.replace(old, new, 1)) == names


def test_overloads_are_counted() -> None:
    two = "export function f(a: string): void;\nexport function f(a: number): void;\n"
    assert broken("a.ts", two, two.split("\n")[0] + "\n") == ["f"]


def test_a_frozen_file_stays() -> None:
    for change in (FileChange("a.py", None, b"x = 1\n", b""), FileChange("a.py", "b.py", b"", b"")):
        assert [each.id for each in POLICY.findings([change])] == ["api/freeze"]
    assert not POLICY.may_leave("a.py")
