"""A code base's habits are told with the counts that they rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dovetail.agent.repo.index import RepoIndex

Make = Callable[[Mapping[str, str | bytes]], RepoIndex]


def python_project() -> dict[str, str]:
    files = {
        "shop/errors.py": "class ShopError(Exception): pass\nclass TaxError(ShopError): pass\nclass PayError(ShopError): pass\n"
    }
    for name in ("cart", "order", "item", "user", "price"):
        files[f"shop/repositories/{name}_store.py"] = (
            "from __future__ import annotations\n\nfrom shop.errors import ShopError\n\n\n"
            f"class {name.capitalize()}Repository(Repository):\n"
            f'    """Keeps {name}s.\n\n    Args:\n        x: what.\n    """\n\n'
            f"    def find_{name}(self, key: str) -> int:\n        MAX_SIZE = 1\n        return 1\n"
        )
        files[f"tests/repositories/test_{name}_store.py"] = (
            f"import pytest\nfrom shop.repositories import {name}_store\n\ndef test_one(): pass\n"
        )
    return files


def test_habits_of_a_python_project(make: Make) -> None:
    text = make(python_project()).patterns()
    for line in (
        "python classes are PascalCase (8 of 8)",
        "python functions are snake_case (5 of 5)",
        "python files are snake_case (5 of 5)",
        "classes named …Repository, mostly in shop/repositories/, such as class CartRepository(Repository) "
        "in shop/repositories/cart_store.py (5 of 8)",
        "classes derive from Repository (5 of 8)",
        "own error classes: PayError, ShopError, TaxError; most in shop/errors.py (3 of 3)",
        "test files lie in tests/ (5 of 5)",
        "test files are named test_*.py (5 of 5)",
        "tests import pytest (5 of 5)",
        "tests are plain functions (5 of 5)",
        "tests mirror the sources: tests/repositories/test_cart_store.py tests shop/repositories/cart_store (5 of 5)",
        "python imports of the project's own modules are absolute (5 of 5)",
        "python files start with from __future__ import annotations (5 of 6)",
        "python functions are annotated (5 of 5)",
        "python is indented by 4 spaces (5 of 5)",
        "docstrings are Google style (Args:, Returns:) (5 of 5)",
    ):
        assert f"  - {line}\n" in text


def test_habits_of_a_typescript_project(make: Make) -> None:
    files = {
        f"src/{name}-service.ts": f"import {{ Base }} from '@/base';\n\nexport class {name.capitalize()}Service extends Base {{\n"
        f"  find{name.capitalize()}() {{\n    return 1;\n  }}\n}}\n"
        for name in ("cart", "order", "item", "user", "price")
    }
    files |= {f"src/{name}.test.ts": "import { it } from 'vitest';\nit('x', () => {});\n" for name in "abcde"}
    text = make(files).patterns()
    for line in (
        "typescript files are kebab-case (5 of 5)",
        "typescript functions are camelCase (5 of 5)",
        "tests import vitest (5 of 5)",
        "test files lie in the folder of what they test (5 of 5)",
        "test files are named *.test.ts (5 of 5)",
        "javascript/typescript imports of own files use the alias @ (5 of 5)",
        "typescript is indented by 2 spaces (5 of 5)",
    ):
        assert f"  - {line}\n" in text


def test_no_habit_without_enough_cases_or_where_they_differ(make: Make) -> None:
    assert make({"a.py": "def one_two(): pass\n"}).patterns() == ""
    mixed = "".join(f"def snake_{number}(): pass\ndef camelCase{number}(): pass\n" for number in range(9))
    assert "functions are" not in make({"a.py": mixed}).patterns().replace("functions are without", "")
