"""Places, tests and values are read from what compilers, runtimes and test runners print."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repositories import write

from dovetail.agent.debug.traces.failure import read_failure
from dovetail.agent.debug.traces.frames import Frame, read_frames
from dovetail.agent.debug.traces.place import place_all
from dovetail.agent.repo.index import RepoIndex

CASES = {
    "python": (
        'Traceback (most recent call last):\n  File "/w/a.py", line 9, in <module>\n    f()\n  File "/w/b.py", line 3, in f\n'
        "    return {}['x']\nKeyError: 'x'\n",
        [Frame("/w/b.py", 3, "f"), Frame("/w/a.py", 9, "")],
        "a key that is not there",
        "KeyError: 'x'",
    ),
    "pytest": (
        "____ test_a ____\ntests/test_a.py:4: in test_a\n    assert f(1) == 2\nshop/a.py:7: in f\n    return x.y\n"
        "E   AttributeError: 'int' object has no attribute 'y'\nFAILED tests/test_a.py::test_a[1-2] - AttributeError\n",
        [Frame("shop/a.py", 7, "f"), Frame("tests/test_a.py", 4, "test_a")],
        "an attribute that is not there",
        "AttributeError: 'int' object has no attribute 'y'",
    ),
    "node": (
        "/w/src/sum.js:4\n    return a.length\n\nTypeError: Cannot read properties of undefined (reading 'length')\n"
        "    at sum (/w/src/sum.js:4:14)\n    at async Object.<anonymous> (file:///w/test/sum.test.mjs:8:5)\n",
        [Frame("/w/src/sum.js", 4, ""), Frame("/w/src/sum.js", 4, "sum"), Frame("/w/test/sum.test.mjs", 8, "")],
        "nothing where a value was expected",
        "TypeError: Cannot read properties of undefined (reading 'length')",
    ),
    "node --test": (
        "not ok 1 - sums\n  ---\n  location: '/w/sum.test.js:4:1'\n  error: |-\n    Expected values to be strictly equal:\n    \n"
        "    1 !== 3\n    \n  expected: 3\n  actual: 1\n  stack: |-\n    exports.sum (/w/sum.js:2:12)\n"
        "    TestContext.<anonymous> (/w/sum.test.js:4:29)\n    Test.run (node:internal/test_runner/test:796:25)\n",
        [Frame("/w/sum.test.js", 4, ""), Frame("/w/sum.js", 2, "sum")],
        "a wrong value",
        "1 !== 3",
    ),
    "jest": (
        "  ● sum › adds\n\n    expect(received).toBe(expected)\n\n    Expected: 3\n    Received: 4\n\n"
        "      at Object.<anonymous> (test/sum.test.ts:5:20)\n",
        [Frame("test/sum.test.ts", 5, "")],
        "a wrong value",
        None,
    ),
    "tsc": (
        "src/a.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'.\n",
        [Frame("src/a.ts", 3, "")],
        "a wrong type or wrong arguments",
        "error TS2322: Type 'string' is not assignable to type 'number'.",
    ),
    "go panic": (
        "panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\n"
        "main.pick(...)\n\t/w/pick.go:8 +0x1d\nmain.main()\n\t/w/main.go:5 +0x20\n",
        [Frame("/w/pick.go", 8, "pick"), Frame("/w/main.go", 5, "main")],
        "a place beyond the end",
        "runtime error: index out of range [3] with length 3",
    ),
    "go test, table": (
        "--- FAIL: TestSum (0.00s)\n    --- FAIL: TestSum/empty_list (0.00s)\n        sum_test.go:14: got 1, want 0\nFAIL\n",
        [Frame("sum_test.go", 14, "")],
        "a wrong value",
        "got 1, want 0",
    ),
    "go compiler": (
        "./pick.go:8:2: undefined: nam\n",
        [Frame("./pick.go", 8, "")],
        "a name that is not known",
        "undefined: nam",
    ),
    "rust": (
        "thread 'tests::adds' panicked at src/lib.rs:12:9:\nassertion `left == right` failed\n  left: 3\n right: 4\n"
        "   2: shop::add\n             at ./src/add.rs:4:5\ntest tests::adds ... FAILED\n",
        [Frame("src/lib.rs", 12, ""), Frame("./src/add.rs", 4, "add")],
        "a wrong value",
        "assertion `left == right` failed",
    ),
    "rust compiler": (
        "error[E0308]: mismatched types\n --> src/lib.rs:4:5\n",
        [Frame("src/lib.rs", 4, "")],
        "a wrong type or wrong arguments",
        "error[E0308]: mismatched types",
    ),
    "java": (
        'Exception in thread "main" java.lang.NullPointerException: name\n'
        "\tat com.shop.Cart.total(Cart.java:12)\n\tat com.shop.Main.main(Main.java:5)\n",
        [Frame("com/shop/Cart.java", 12, "total"), Frame("com/shop/Main.java", 5, "main")],
        "nothing where a value was expected",
        "java.lang.NullPointerException: name",
    ),
    "gcc": (
        "src/a.c: In function 'f':\nsrc/a.c:3:5: error: 'x' undeclared (first use in this function)\n",
        [Frame("src/a.c", 3, "")],
        "a name that is not known",
        "error: 'x' undeclared (first use in this function)",
    ),
    "asan": (
        "==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x60\n"
        "    #0 0x4f in copy_all /w/src/copy.c:14:9\n    #1 0x50 in main /w/src/main.c:4:3\n",
        [Frame("/w/src/copy.c", 14, "copy_all"), Frame("/w/src/main.c", 4, "main")],
        "a place beyond the end",
        "AddressSanitizer: heap-buffer-overflow on address 0x60",
    ),
    "c assertion": (
        "prog: src/a.c:9: int half(int): Assertion `n % 2 == 0' failed.\nAborted\n",
        [Frame("src/a.c", 9, "half")],
        "a wrong value",
        "Assertion `n % 2 == 0' failed",
    ),
    "ruby": (
        "lib/cart.rb:7:in `total': undefined method `+' for nil (NoMethodError)\n\tfrom test/test_cart.rb:5:in `test_total'\n",
        [Frame("lib/cart.rb", 7, "total"), Frame("test/test_cart.rb", 5, "test_total")],
        "nothing where a value was expected",
        "undefined method `+' for nil (NoMethodError)",
    ),
    "php": (
        "PHP Fatal error:  Uncaught DivisionByZeroError: Division by zero in /w/src/Cart.php:11\nStack trace:\n"
        "#0 /w/run.php(3): Cart->mean()\n#1 {main}\n",
        [Frame("/w/src/Cart.php", 11, ""), Frame("/w/run.php", 3, "mean")],
        "a division by zero",
        "Fatal error:  Uncaught DivisionByZeroError: Division by zero in /w/src/Cart.php:11",
    ),
    "c#": (
        "System.Exception: no\n   at Shop.Cart.Total(Int32 n) in /w/Cart.cs:line 21\n",
        [Frame("/w/Cart.cs", 21, "Total")],
        "it ends with an error",
        "System.Exception: no",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_tools_output_is_read(name: str) -> None:
    output, frames, mode, headline = CASES[name]
    assert read_frames(output) == frames
    failure = read_failure(output, "exit", 1)
    assert failure.mode == mode
    assert headline is None or failure.headline == headline


@pytest.mark.parametrize(
    ("output", "tests"),
    [
        ("FAILED tests/test_a.py::T::test_b[x - y] - assert 1\n", ("tests/test_a.py::T::test_b[x - y]",)),
        ("ERROR tests/test_a.py\n", ("tests/test_a.py",)),
        ("FAIL: test_b (tests.test_a.T.test_b)\n", ("tests.test_a.T.test_b",)),
        ("    --- FAIL: TestSum/empty (0.00s)\n", ("TestSum/empty",)),
        ("test tests::adds ... FAILED\n", ("tests::adds",)),
        ("  ● sum › adds two\n", ("sum › adds two",)),
        ("not ok 3 - adds two\n", ("adds two",)),
        ("[  FAILED  ] Sum.Adds (0 ms)\n", ("Sum.Adds",)),
        ("1) App\\CartTest::testTotal\n", ("App\\CartTest::testTotal",)),
        ("Failure:\nTestCart#test_total [test/test_cart.rb:9]:\n", ("TestCart#test_total",)),
        ("rspec ./spec/cart_spec.rb:5 # Cart sums\n", ("./spec/cart_spec.rb:5",)),
        ("all is well\n", ()),
    ],
)
def test_failing_tests_are_named(output: str, tests: tuple[str, ...]) -> None:
    assert read_failure(output, "exit", 1).tests == tests


@pytest.mark.parametrize(
    ("output", "pair"),
    [
        ("E       assert 3 == 7\n", ("3", "7")),
        ("AssertionError: 3 != 7\n", ("3", "7")),
        ("    Expected: 7\n    Received: 3\n", ("3", "7")),
        ("  left: 3\n right: 7\n", ("3", "7")),
        ("org.junit.ComparisonFailure: expected:<7> but was:<3>\n", ("3", "7")),
        ("Failed asserting that 3 matches expected 7.\n", ("3", "7")),
    ],
)
def test_what_was_seen_and_expected_is_told_apart(output: str, pair: tuple[str, str]) -> None:
    assert read_failure(output, "exit", 1).values[0] == pair


def test_a_run_that_was_ended_says_by_what() -> None:
    assert read_failure("", "timeout", 137).mode == "it does not come to an end"
    assert read_failure("", "memory", 137).mode == "it uses too much (memory)"


def test_places_are_those_of_the_repository(tmp_path: Path) -> None:
    root = tmp_path / "r"
    write(
        root,
        {
            "src/com/shop/Cart.java": "class Cart {\n  int total() {\n    return 1;\n  }\n}\n",
            "a/sum_test.go": "package a\n\nfunc TestSum() {\n\tsum()\n}\n",
            "one/same.py": "",
            "two/same.py": "",
        },
    )
    with RepoIndex.open(root, tmp_path / "cache") as index:
        frames = [
            Frame("com/shop/Cart.java", 3, "total"),
            Frame("sum_test.go", 4),
            Frame("same.py", 1),
            Frame("/usr/lib/python3/same.py", 1),
            Frame("/copy/one/same.py", 1, "f"),
        ]
        found = place_all(index, frames, Path("/copy"))
    assert [(each.path, each.function, each.in_tests) for each in found] == [
        ("src/com/shop/Cart.java", "Cart.total", False),
        ("a/sum_test.go", "TestSum", True),
        ("one/same.py", "f", False),
    ]


@given(st.text(max_size=400))
def test_any_output_is_read(output: str) -> None:
    assert len(read_frames(output)) <= 400
    assert read_failure(output, "exit", 1).headline
