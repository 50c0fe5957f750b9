"""Imports lead to the files that the languages' own rules name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from dovetail.agent.repo.graph import cycles
from dovetail.agent.repo.index import RepoIndex

Make = Callable[[Mapping[str, str | bytes]], RepoIndex]


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    source: str
    leads_to: set[str]
    others: Mapping[str, str] = field(default_factory=dict)


CASES = [
    Case(
        "python: absolute, from packages, submodules before names of the package",
        "app/views.py",
        "import app.models\nfrom app import forms, VERSION\nfrom app.models import Item as I\nimport os, numpy",
        {"app/models.py", "app/forms.py", "app/__init__.py"},
        {"app/__init__.py": "VERSION = 1", "app/models.py": "class Item: pass", "app/forms.py": ""},
    ),
    Case(
        "python: relative",
        "app/api/views.py",
        "from . import forms\nfrom ..core import models\nfrom .. import helper\nfrom .deep.er import x\nfrom .... import no",
        {"app/api/forms.py", "app/core/models.py", "app/helper.py", "app/api/deep/er.py"},
        {
            "app/__init__.py": "",
            "app/helper.py": "",
            "app/api/__init__.py": "",
            "app/api/forms.py": "",
            "app/core/__init__.py": "",
            "app/core/models.py": "",
            "app/api/deep/er.py": "x = 1",
        },
    ),
    Case(
        "python: src layout, seen from tests",
        "tests/test_a.py",
        "from shop.cart import Cart\nfrom helpers import fake",
        {"src/shop/cart.py", "tests/helpers.py"},
        {"src/shop/__init__.py": "", "src/shop/cart.py": "class Cart: pass", "tests/helpers.py": "def fake(): pass"},
    ),
    Case(
        "python: a package of a workspace, and stubs where there is no source",
        "libs/one/pkg/a.py",
        "from pkg import b\nimport fast",
        {"libs/one/pkg/b.py", "libs/one/fast.pyi"},
        {"libs/one/pkg/__init__.py": "", "libs/one/pkg/b.py": "", "pkg/b.py": "", "libs/one/fast.pyi": ""},
    ),
    Case(
        "javascript: relative, index files, written suffixes",
        "src/app.js",
        "import './a'; import x from './b/'; import y from './c.js'; const z = require('../lib/d'); import 'react';",
        {"src/a.js", "src/b/index.ts", "src/c.ts", "lib/d.cjs"},
        {"src/a.js": "", "src/b/index.ts": "", "src/c.ts": "", "lib/d.cjs": ""},
    ),
    Case(
        "typescript: paths of a tsconfig with comments, extended, and baseUrl",
        "packages/web/src/app.ts",
        "import { a } from '@/a'; import { b } from '~lib/b'; import { c } from 'shared/c'; import { d } from 'exact';",
        {"packages/web/src/a.ts", "packages/lib/b.ts", "packages/shared/c.tsx", "packages/lib/d.d.ts"},
        {
            "packages/web/tsconfig.json": '{"extends": "../base.json", // here\n "include": ["src"],}',
            "packages/base.json": '{"compilerOptions": {"baseUrl": ".", /* all */ "paths": {"@/*": ["web/src/*"], '
            '"~lib/*": ["lib/*"], "exact": ["lib/d.d.ts"],}}}',
            "packages/web/src/a.ts": "export const a = 1",
            "packages/lib/b.ts": "export const b = 1",
            "packages/lib/d.d.ts": "",
            "packages/shared/c.tsx": "",
        },
    ),
    Case(
        "typescript: packages of the workspace by name",
        "apps/web/main.ts",
        "import { x } from '@acme/core'; import { y } from '@acme/core/deep'; import z from 'plain';",
        {"libs/core/src/index.ts", "libs/core/src/deep.ts", "libs/plain/lib/main.js"},
        {
            "libs/core/package.json": '{"name": "@acme/core"}',
            "libs/core/src/index.ts": "",
            "libs/core/src/deep.ts": "",
            "libs/plain/package.json": '{"name": "plain", "main": "./lib/main"}',
            "libs/plain/lib/main.js": "",
        },
    ),
    Case(
        "go: packages of modules, replaced ones too; tests are no part of a package",
        "cmd/main.go",
        'package main\nimport (\n "example.com/shop/cart"\n "example.com/tools"\n "fmt"\n)\n',
        {"cart/a.go", "cart/b.go", "vendored/tools/t.go"},
        {
            "go.mod": "module example.com/shop\n\ngo 1.22\n\nreplace example.com/tools v1.0.0 => ./vendored/tools\n",
            "cart/a.go": "package cart",
            "cart/b.go": "package cart",
            "cart/a_test.go": "package cart",
            "vendored/tools/t.go": "package tools",
        },
    ),
    Case(
        "java: classes, static members, whole packages",
        "src/main/java/com/shop/Main.java",
        "package com.shop;\nimport com.shop.core.Price;\nimport static com.shop.core.Money.round;\n"
        "import com.shop.tax.*;\nimport java.util.List;\nclass Main {}",
        {f"src/main/java/com/shop/{name}.java" for name in ("core/Price", "core/Money", "tax/A", "tax/B")},
        {
            "src/main/java/com/shop/core/Price.java": "package com.shop.core; public class Price {}",
            "src/main/java/com/shop/core/Money.java": "package com.shop.core; class Money { static int round() {} }",
            "src/main/java/com/shop/tax/A.java": "package com.shop.tax; class A {}",
            "src/main/java/com/shop/tax/B.java": "package com.shop.tax; class B {}",
        },
    ),
    Case(
        "rust: modules, crate, super, self, other crates of the workspace",
        "app/src/shop/cart.rs",
        "mod inner;\nuse crate::core::{Base, deep::Thing};\nuse super::tax::rate;\nuse self::inner::x;\nuse my_lib::util::go;\n"
        "use std::io;",
        {
            "app/src/shop/cart/inner.rs",
            "app/src/core.rs",
            "app/src/core/deep.rs",
            "app/src/shop/tax.rs",
            "lib/src/util/mod.rs",
        },
        {
            "app/Cargo.toml": '[package]\nname = "app"\n',
            "app/src/main.rs": "mod core; mod shop;",
            "app/src/core.rs": "pub mod deep; pub struct Base;",
            "app/src/core/deep.rs": "pub struct Thing;",
            "app/src/shop/mod.rs": "mod cart; mod tax;",
            "app/src/shop/tax.rs": "pub fn rate() {}",
            "app/src/shop/cart/inner.rs": "pub fn x() {}",
            "lib/Cargo.toml": '[package]\nedition = "2021"\nname = "my-lib"\n',
            "lib/src/lib.rs": "pub mod util;",
            "lib/src/util/mod.rs": "pub fn go() {}",
        },
    ),
    Case(
        "c: beside, below include, by the end of the path; not the system's",
        "src/core/a.c",
        '#include "b.h"\n#include "shop/c.h"\n#include <shop/d.h>\n#include "far/e.h"\n#include <stdio.h>\n',
        {"src/core/b.h", "include/shop/c.h", "include/shop/d.h", "third/far/e.h"},
        {"src/core/b.h": "", "include/shop/c.h": "", "include/shop/d.h": "", "third/far/e.h": ""},
    ),
    Case(
        "c-sharp: namespaces and aliases",
        "Web/Main.cs",
        "using Shop.Core;\nusing Money = Shop.Cash.Coin;\nusing System;\nnamespace Web; class Main {}",
        {"Core/A.cs", "Core/B.cs", "Cash/Coin.cs"},
        {
            "Core/A.cs": "namespace Shop.Core; class A {}",
            "Core/B.cs": "namespace Shop.Core { class B {} }",
            "Cash/Coin.cs": "namespace Shop.Cash; class Coin {}",
            "Cash/Note.cs": "namespace Shop.Cash; class Note {}",
        },
    ),
    Case(
        "ruby: relative and from lib",
        "lib/shop/cart.rb",
        "require_relative '../core/price'\nrequire 'shop/tax'\nrequire 'json'",
        {"lib/core/price.rb", "lib/shop/tax.rb"},
        {"lib/core/price.rb": "", "lib/shop/tax.rb": ""},
    ),
    Case(
        "php: classes by namespace, groups, included files",
        "src/Web/Main.php",
        "<?php\nnamespace Web;\nuse Shop\\Core\\Price;\nuse Shop\\Tax\\{Rate, Zone};\nrequire __DIR__ . '/../help.php';\n",
        {"src/Core/Price.php", "src/Tax/Rate.php", "src/Tax/Zone.php", "src/help.php"},
        {
            "src/Core/Price.php": "<?php\nnamespace Shop\\Core;\nclass Price {}",
            "src/Tax/Rate.php": "<?php\nnamespace Shop\\Tax;\nclass Rate {}",
            "src/Tax/Zone.php": "<?php\nnamespace Shop\\Tax;\nenum Zone {}",
            "src/help.php": "<?php\nfunction help() {}",
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_imports_lead_to_files(make: Make, case: Case) -> None:
    index = make({case.path: case.source, **case.others})
    assert {edge.target for edge in index.imports(case.path)} == case.leads_to
    for target in case.leads_to:
        assert case.path in {edge.source for edge in index.importers(target)}


def test_linked_folders_are_seen_through(make: Make, tmp_path: object) -> None:
    index = make(
        {"core/a.py": "x = 1", "pkg/__init__.py": "", "main.py": "from pkg.core import a\nfrom pkg.core.a import x"}
    )
    (index.root / "pkg" / "core").symlink_to("../core")
    index.refresh()
    assert {edge.target for edge in index.imports("main.py")} == {"core/a.py"}


def test_cyclic_imports_end(make: Make) -> None:
    index = make(
        {
            "a.py": "from b import *\nfrom b import x\nx()",
            "b.py": "from a import *\nfrom a import x\nx()",
            "c/index.js": "export * from '../d'; import {y} from '../d'; y();",
            "d.js": "export * from './c'; export {y} from './c';",
            "tsconfig.json": '{"extends": "./tsconfig.json"}',
            "e.ts": "import {q} from 'q'",
            "s.py": "class A(B): \n def f(self): self.g()\nclass B(A): pass",
        }
    )
    assert {edge.target for edge in index.imports("a.py")} == {"b.py"}
    assert index.graph.reach(["a.py"], backwards=True) == {"b.py": (1, "a.py")}
    assert index.map(500)
    for facts in index.files.values():
        for symbol in facts.definitions:
            index.callers(symbol)


def test_settings_files_that_are_nonsense(make: Make) -> None:
    index = make(
        {
            "tsconfig.json": "[" * 100_000,
            "a/tsconfig.json": '{"compilerOptions": {"paths": {"x": 3, "@/*": [7, "./*"]}, "baseUrl": 9}}',
            "a/b.ts": "import '@/c'; import 'x';",
            "a/c.ts": "",
            "d.ts": "import '@/c'",
            "package.json": '{"name": 3}',
            "go.mod": "\0\xff",
            "g.go": 'package g\nimport "x"',
        }
    )
    assert {edge.target for edge in index.imports("a/b.ts")} == {"a/c.ts"}


def test_strongly_connected_components_come_in_the_order_of_imports() -> None:
    steps = {"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "e": {"e"}}
    assert cycles(steps) == [["d"], ["b", "c"], ["a"], ["e"]]
    long = {str(at): {str(at + 1)} for at in range(5_000)}
    assert len(cycles(long)) == 5_001
