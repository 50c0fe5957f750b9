"""The map keeps to its budget, is the same every time, and shows what the task is about first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repositories import write

from dovetail.agent.repo.focus import focus_on
from dovetail.agent.repo.index import RepoIndex
from dovetail.agent.repo.text import printable, words_of
from dovetail.agent.repo.tokens import estimate_tokens

Make = Callable[[Mapping[str, str | bytes]], RepoIndex]

FILES = {
    "shop/errors.py": "class ShopError(Exception):\n    pass\n",
    "shop/cart.py": "from shop.errors import ShopError\n\n\nclass Cart:\n    limit = 3\n\n    def add(self, item: str) -> None:\n"
    "        def inner(): pass\n        raise ShopError\n\n    def _hide(self): ...\n",
    "shop/ship.py": "from shop.errors import ShopError\n\ndef send_parcel(to: str) -> bool:\n    raise ShopError\n",
    "shop/pay.py": "from shop.errors import ShopError\n\ndef charge_card(card: str) -> bool:\n    raise ShopError\n",
    "tests/test_cart.py": "from shop.cart import Cart\n\ndef test_add():\n    Cart().add('x')\n",
}


def test_the_most_used_comes_first_with_its_class_around_it(make: Make) -> None:
    text = make(FILES).map(1000)
    assert text.startswith("shop/errors.py:\n  class ShopError(Exception)\n")
    assert "shop/cart.py:\n  class Cart\n    def add(self, item: str) -> None\n" in text
    assert "inner" not in text and "limit" not in text


@pytest.mark.parametrize(
    ("focus", "first"),
    [
        ("shop/pay.py", "shop/pay.py:"),
        ("pay.py", "shop/pay.py:"),
        ("send_parcel", "shop/ship.py:"),
        ("Why is the parcel never sent?", "shop/ship.py:"),
        ("Cart.add", "shop/cart.py:"),
        ("test_cart", "tests/test_cart.py:"),
    ],
)
def test_what_the_task_is_about_comes_first(make: Make, focus: str, first: str) -> None:
    assert make(FILES).map(1000, [focus]).splitlines()[0] == first


@pytest.mark.parametrize("budget", [0, 1, 5, 10, 20, 40, 80, 160])
def test_never_more_than_the_budget(make: Make, budget: int) -> None:
    index = make(FILES)
    assert estimate_tokens(index.map(budget)) <= budget
    assert len(index.map(budget, ["cart"], count=len)) <= budget


PIECES = st.text(alphabet="ab_ .(\n:)ü\x1b", max_size=12)


@given(
    bodies=st.lists(st.tuples(PIECES, PIECES), max_size=6),
    budget=st.integers(0, 120),
    focus=st.lists(st.text(max_size=10), max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_no_code_and_no_question_breaks_the_budget(
    bodies: list[tuple[str, str]], budget: int, focus: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repo"
        root.mkdir()
        for number, (name, body) in enumerate(bodies):
            write(root, {f"m{number}.py": f"class A{name}:\n  def f(self, {body}): pass\ndef f(a='{name}'): {body}\n"})
        index = RepoIndex.open(root, Path(folder) / "cache")
        text = index.map(budget, focus)
        assert estimate_tokens(text) <= budget
        assert text == index.map(budget, focus)
        assert all(line.isprintable() for line in text.splitlines())
        index.close()


def test_paths_cannot_forge_lines_or_move_the_cursor(make: Make) -> None:
    text = make({"a\nb\x1b[2J.py": "def f(): pass\n", "c\u202ed.py": "def g(): pass\n"}).map(100)
    assert sorted(text.splitlines()) == ["  def f()", "  def g()", "a\\nb\\x1b[2J.py:", "c\\u202ed.py:"]


def test_words_of_names() -> None:
    assert words_of("parseHTTPHeader_v2") == ["parse", "http", "header", "v", "2"]
    assert words_of("src/größe-Test") == ["src", "gr", "öß", "e", "test"]
    assert printable("a\tb\udcff") == "a\\tb\\udcff"


def test_rare_words_weigh_more_than_common_ones(make: Make) -> None:
    index = make({f"shop_{name}.py": "" for name in ("a", "b", "c", "tax")})
    focus = focus_on(index.files, {}, ["the shop tax"])
    assert max(focus.files, key=lambda path: focus.files[path]) == "shop_tax.py"
