"""What breaks when something changes, and which tests to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from dovetail.agent.problems import FileProblem
from dovetail.agent.repo.index import RepoIndex
from dovetail.agent.repo.testfiles import is_test

Make = Callable[[Mapping[str, str | bytes]], RepoIndex]

FILES = {
    "shop/__init__.py": "",
    "shop/tax.py": "def rate(x):\n    return x\n\ndef _hidden():\n    pass\n",
    "shop/price.py": "from shop.tax import rate\n\ndef gross(x):\n    return rate(x)\n",
    "shop/cart.py": "from shop.price import gross\n\nclass Cart:\n    def total(self):\n        return gross(1)\n",
    "shop/other.py": "def unrelated():\n    pass\n",
    "tests/test_tax.py": "from shop.tax import rate\n\ndef test_rate():\n    assert rate(1)\n",
    "tests/test_cart.py": "from shop.cart import Cart\n\ndef test_total():\n    assert Cart().total()\n",
    "tests/test_other.py": "from shop.other import unrelated\n\ndef test_it():\n    unrelated()\n",
    "tests/helper.py": "from shop.tax import rate\n",
}


def test_of_a_function(make: Make) -> None:
    index = make(FILES)
    found = index.impact("rate")
    calls = [
        (one.reference.path, one.reference.within, one.distance)
        for one in found.callers
        if one.reference.kind == "call"
    ]
    assert calls == [
        ("shop/price.py", "gross", 1),
        ("tests/test_tax.py", "test_rate", 1),
        ("shop/cart.py", "Cart.total", 2),
        ("tests/test_cart.py", "test_total", 3),
    ]
    assert [(test.path, test.distance) for test in found.tests] == [("tests/test_tax.py", 1), ("tests/test_cart.py", 3)]
    assert found.symbols == tuple(index.definitions("rate"))


def test_of_a_file_a_folder_and_several_things(make: Make) -> None:
    index = make(FILES)
    found = index.impact("shop/price.py")
    assert {one.reference.path for one in found.callers} == {"shop/cart.py"}
    assert [(one.path, one.distance, one.via) for one in found.importers] == [
        ("shop/cart.py", 1, "shop/price.py"),
        ("tests/test_cart.py", 2, "shop/cart.py"),
    ]
    assert [test.path for test in index.impact("shop").tests] == [
        f"tests/test_{name}.py" for name in ("cart", "other", "tax")
    ]
    both = index.impact(["shop/other.py", index.definitions("Cart")[0]])
    assert [test.path for test in both.tests] == ["tests/test_cart.py", "tests/test_other.py"]
    assert [test.path for test in index.impact("tests/test_tax.py").tests] == ["tests/test_tax.py"]


def test_what_is_unknown_is_refused(make: Make) -> None:
    with pytest.raises(FileProblem, match="nothing/there is neither a file"):
        make(FILES).impact("nothing/there")


@pytest.mark.parametrize(
    ("path", "language", "expected"),
    [
        ("tests/test_a.py", "python", True),
        ("a_test.py", "python", True),
        ("tests/conftest.py", "python", False),
        ("src/testing.py", "python", False),
        ("src/a.test.ts", "typescript", True),
        ("src/__tests__/a.tsx", "tsx", True),
        ("a_test.go", "go", True),
        ("tests/it.rs", "rust", True),
        ("src/test/java/p/A.java", "java", True),
        ("p/ATest.java", "java", True),
        ("spec/a_spec.rb", "ruby", True),
        ("tests/CartTest.php", "php", True),
        ("Shop.Tests/CartTests.cs", "c-sharp", True),
        ("latest.go", "go", False),
        ("test_a.py", "", False),
    ],
)
def test_what_a_test_runner_would_run(path: str, language: str, expected: bool) -> None:
    assert is_test(path, language) is expected
