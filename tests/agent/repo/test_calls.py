"""Who calls a definition, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from dovetail.agent.repo.index import RepoIndex

Make = Callable[[Mapping[str, str | bytes]], RepoIndex]


def callers(index: RepoIndex, name: str, path: str = "") -> set[tuple[str, int, str]]:
    """Calls of a definition: path, line, certainty."""
    [symbol] = [symbol for symbol in index.definitions(name) if symbol.path.startswith(path)]
    return {
        (use.path, use.line, str(certainty))
        for use, certainty in index.callers(symbol)
        if use.kind in {"call", "base", "use"}
    }


def test_python_names_follow_imports_aliases_and_packages(make: Make) -> None:
    index = make(
        {
            "app/__init__.py": "from .core import run as start\n",
            "app/core.py": "def run():\n    pass\n\ndef other():\n    run()\n",
            "one.py": "from app.core import run\nrun()\n",
            "two.py": "import app.core as core\ncore.run()\n",
            "three.py": "from app import start\nstart()\n",
            "four.py": "import app.core\napp.core.run()\n",
            "five.py": "def run(): pass\nrun()\n",
            "six.py": "def f(run):\n    run()\n",
            "seven.py": "import subprocess\nfrom subprocess import run\nrun()\nsubprocess.run()\n",
            "eight.py": "from app.core import *\nrun()\n",
            "nine.py": "x.run()\n",
        }
    )
    assert callers(index, "run", "app/core.py") == {
        ("app/core.py", 5, "exact"),
        ("one.py", 2, "exact"),
        ("two.py", 2, "exact"),
        ("three.py", 2, "exact"),
        ("four.py", 2, "exact"),
        ("eight.py", 2, "exact"),
    }
    assert callers(index, "run", "five.py") == {("five.py", 2, "exact")}


def test_methods_by_self_by_class_by_base_and_by_name(make: Make) -> None:
    index = make(
        {
            "base.py": "class Base:\n    def save(self): pass\n    def twice(self): pass\n",
            "item.py": "from base import Base\nclass Item(Base):\n    def go(self):\n        self.save()\n        super().save()\n",
            "use.py": "from item import Item\nItem.save(1)\nItem().save()\nthing.save()\n",
            "other.py": "class Other:\n    def twice(self):\n        self.twice()\n\nanything.twice()\n",
        }
    )
    assert callers(index, "Base.save") == {
        ("item.py", 4, "likely"),
        ("item.py", 5, "likely"),
        ("use.py", 2, "exact"),
        ("use.py", 3, "likely"),
        ("use.py", 4, "likely"),
    }
    assert callers(index, "Other.twice") == {("other.py", 3, "exact"), ("other.py", 5, "name only")}
    assert callers(index, "Base.twice") == {("other.py", 5, "name only")}
    assert callers(index, "Base") == {("item.py", 2, "exact")}


@pytest.mark.parametrize(
    ("files", "name", "expected"),
    [
        (
            {
                "src/util.ts": "export function go() {}\nexport default class Thing { run() { this.stop(); } stop() {} }",
                "src/index.ts": "export * from './util';\nexport { go as leave } from './util';",
                "main.ts": "import Stuff, { go } from './src/util';\ngo();\nStuff.run();",
                "far.ts": "import { leave } from './src';\nimport * as all from './src';\nleave(); all.go();",
            },
            "go",
            {("main.ts", 2, "exact"), ("far.ts", 3, "exact")},
        ),
        (
            {
                "go.mod": "module m",
                "a/a.go": "package a\nfunc Go() { local() }\nfunc local() {}\ntype T struct{}\nfunc (t *T) Run() {}",
                "a/b.go": "package a\nfunc more() { Go() }",
                "c/c.go": 'package c\nimport "m/a"\nfunc x() { a.Go() }\nfunc Go() {}\nfunc y() { Go() }',
            },
            "Go",
            {("a/b.go", 2, "exact"), ("c/c.go", 3, "exact")},
        ),
        (
            {
                "A.java": "package p;\nclass A {\n static int go() { return go(); }\n}",
                "B.java": "package p;\nclass B { int x() { return A.go(); } }",
                "C.java": "package q;\nimport p.A;\nclass C { int x() { return A.go(); } int go() { return go(); } }",
            },
            "go",
            {("A.java", 3, "exact"), ("B.java", 2, "exact"), ("C.java", 3, "exact")},
        ),
        (
            {
                "src/lib.rs": "mod a; mod b;",
                "src/a.rs": "pub fn go() {}\npub struct T;\nimpl T { pub fn run() { Self::run() } }",
                "src/b.rs": "use crate::a::{self, go, T};\nfn x() { go(); a::go(); T::run(); }",
            },
            "go",
            {("src/b.rs", 2, "exact")},
        ),
        (
            {
                "a.h": "int go(int x);",
                "a.c": '#include "a.h"\nint go(int x) { return x; }',
                "b.c": '#include "a.h"\nint main() { return go(1); }',
            },
            "go",
            {("b.c", 2, "likely")},
        ),
        (
            {
                "lib/a.rb": "module M\n class A\n  def go; self.go; end\n end\nend",
                "b.rb": "require_relative 'lib/a'\nM::A.new.go\n",
            },
            "go",
            {("lib/a.rb", 3, "exact"), ("b.rb", 2, "likely")},
        ),
        (
            {
                "A.php": "<?php\nnamespace P;\nclass A { function go() { $this->go(); } }",
                "B.php": "<?php\nnamespace Q;\nuse P\\A;\nA::go();\n",
            },
            "go",
            {("A.php", 3, "exact"), ("B.php", 4, "exact")},
        ),
        (
            {
                "A.cs": "namespace P;\nclass A { public static int Go() => 1; }",
                "B.cs": "using P;\nnamespace Q;\nclass B { int X() => A.Go(); }",
            },
            "Go",
            {("B.cs", 3, "exact")},
        ),
    ],
    ids=["typescript", "go", "java", "rust", "c", "ruby", "php", "c-sharp"],
)
def test_callers_in_other_languages(
    make: Make, files: Mapping[str, str], name: str, expected: set[tuple[str, int, str]]
) -> None:
    index = make(files)
    first = next(symbol for symbol in index.definitions(name) if symbol.kind != "prototype")
    found = {(use.path, use.line, str(sure)) for use, sure in index.callers(first) if use.kind == "call"}
    assert found == expected
