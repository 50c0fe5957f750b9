"""Hand-written edit requests on short files, none of which comes from a generator.

They show what a first user would try. Each says how the new file differs from the old one, so the
check is on the resulting file and not on the wording of the blocks.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Example:
    """A file, an instruction, and (old, new) replacements that give the expected file."""

    name: str
    path: str
    content: str
    instruction: str
    changes: tuple[tuple[str, str], ...]

    @property
    def expected(self) -> str:
        text = self.content
        for old, new in self.changes:
            if old not in text:
                raise ValueError(f"example {self.name}: {old!r} is not in the file")
            text = text.replace(old, new)
        return text


CALC: Final = '''"""A small calculator."""

import sys

PRECISION = 2


def add(a, b):
    return a + b


def subtract(a, b):
    return a - b


def multiply(a, b):
    return a * b


def divide(a, b):
    if b == 0:
        raise ZeroDivisionError("cannot divide by zero")
    return round(a / b, PRECISION)


def main():
    first = float(sys.argv[1])
    second = float(sys.argv[2])
    print(add(first, second))


if __name__ == "__main__":
    main()
'''
CLIENT: Final = """import json
import time
import urllib.request

BASE_URL = "http://localhost:8000"
MAX_RETRIES = 3


class ApiError(Exception):
    pass


def fetch(path, timeout=10):
    url = BASE_URL + path
    with urllib.request.urlopen(url, timeout=timeout) as response:
        return json.loads(response.read())


def fetch_with_retry(path, delay=1.5):
    for attempt in range(MAX_RETRIES):
        try:
            return fetch(path)
        except OSError:
            time.sleep(delay)
    raise ApiError("no answer from " + path)
"""
STORE: Final = '''class Inventory:
    """Items in stock and how many there are."""

    def __init__(self, capacity=100):
        self.capacity = capacity
        self.items = {}

    def put(self, name, count=1):
        if self.total() + count > self.capacity:
            raise ValueError("the inventory is full")
        self.items[name] = self.items.get(name, 0) + count

    def take(self, name):
        count = self.items.get(name, 0)
        if count == 0:
            return False
        self.items[name] = count - 1
        return True

    def total(self):
        return sum(self.items.values())


def load(names):
    inventory = Inventory()
    for name in names:
        inventory.put(name)
    return inventory
'''
STATS: Final = """import math


def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)


def is_even(number):
    return number % 2 == 1


def variance(values):
    center = mean(values)
    return sum((value - center) ** 2 for value in values) / len(values)


def deviation(values):
    return math.sqrt(variance(values))


def largest(values):
    best = values[0]
    for value in values:
        if value < best:
            best = value
    return best
"""


def _example(name: str, file: tuple[str, str], instruction: str, *changes: tuple[str, str]) -> Example:
    return Example(name, file[0], file[1], instruction, changes)


_CALC = ("calc.py", CALC)
_CLIENT = ("src/client.py", CLIENT)
_STORE = ("store.py", STORE)
_STATS = ("stats.py", STATS)

EXAMPLES: Final = (
    _example("rename function with use", _CALC, "Rename the function add to plus", ("def add(", "def plus("), ("print(add(", "print(plus(")),
    _example("rename function, arrow", _CALC, "rename `multiply` -> `times`", ("def multiply(", "def times(")),
    _example("rename function, long name", _CALC, "Rename the function subtract to compute_difference", ("def subtract(", "def compute_difference(")),
    _example("rename constant with use", _CALC, "Rename PRECISION to DIGITS", ("PRECISION", "DIGITS")),
    _example("rename function with use, client", _CLIENT, "Rename the function fetch to get_json", ("def fetch(path", "def get_json(path"), ("return fetch(", "return get_json(")),
    _example("rename class with use", _CLIENT, "Rename the class ApiError to ServerError", ("ApiError", "ServerError")),
    _example("rename class with use, store", _STORE, "Rename the class Inventory to Warehouse", ("class Inventory:", "class Warehouse:"), ("= Inventory()", "= Warehouse()")),
    _example("rename method with use", _STORE, "Rename the method put to insert", ("def put(", "def insert("), (".put(", ".insert(")),
    _example("rename parameter", _CALC, "Rename the parameter a of subtract to left", ("def subtract(a, b):\n    return a - b", "def subtract(left, b):\n    return left - b")),
    _example("rename variable", _STATS, "Rename the variable center to average in variance", ("center", "average")),
    _example("change default", _CLIENT, "Change the default timeout from 10 to 30", ("timeout=10", "timeout=30")),
    _example("change default, float", _CLIENT, "Change the default delay of fetch_with_retry to 0.5", ("delay=1.5", "delay=0.5")),
    _example("change default in class", _STORE, "Change the default capacity from 100 to 250", ("capacity=100", "capacity=250")),
    _example("change constant", _CLIENT, "Set MAX_RETRIES to 5", ("MAX_RETRIES = 3", "MAX_RETRIES = 5")),
    _example("change constant in words", _CLIENT, "Change the max retries from 3 to 10", ("MAX_RETRIES = 3", "MAX_RETRIES = 10")),
    _example("change string", _CLIENT, 'Change BASE_URL to "http://example.com"', ('"http://localhost:8000"', '"http://example.com"')),
    _example("add docstring", _CALC, "Add a docstring to multiply", ("def multiply(a, b):\n", 'def multiply(a, b):\n    """Multiply."""\n')),
    _example("add given docstring", _CALC, 'Add the docstring "Return the sum of two numbers." to add', ("def add(a, b):\n", 'def add(a, b):\n    """Return the sum of two numbers."""\n')),
    _example("add docstring, client", _CLIENT, "Add a docstring to fetch", ("timeout=10):\n", 'timeout=10):\n    """Fetch."""\n')),
    _example("add parameter", _CALC, "Add a parameter digits with default 3 to multiply", ("def multiply(a, b)", "def multiply(a, b, digits=3)")),
    _example("add parameter to client", _CLIENT, "Add a parameter verbose with default False to fetch", ("timeout=10)", "timeout=10, verbose=False)")),
    _example("guard", _STATS, "Raise a ValueError if values is None in mean", ("def mean(values):\n", 'def mean(values):\n    if values is None:\n        raise ValueError("values must not be None")\n')),
    _example("early return", _STATS, "Return 0 early if values is empty in mean", ("def mean(values):\n", "def mean(values):\n    if not values:\n        return 0\n")),
    _example("fix bug by name", _STATS, "Fix the bug in is_even", ("number % 2 == 1", "number % 2 == 0")),
    _example("fix inverted comparison", _STATS, "Fix the bug: the comparison in largest is inverted", ("if value < best", "if value > best")),
    _example("fix boundary", _STORE, "Fix the bug in put: use >= instead of >", ("+ count > self", "+ count >= self")),
    _example("annotate return", _CALC, "Add the return type float to divide", ("def divide(a, b):", "def divide(a, b) -> float:")),
    _example("annotate parameter", _STATS, "Annotate values of mean as list[float]", ("def mean(values)", "def mean(values: list[float])")),
    _example("print", _CALC, "Print a at the start of add", ("def add(a, b):\n", "def add(a, b):\n    print(a)\n")),
    _example("add import", _CALC, "Import math", ("import sys\n", "import sys\nimport math\n")),
    _example("change error", _CALC, "Raise ValueError instead of ZeroDivisionError", ("ZeroDivisionError", "ValueError")),
    _example("change operator", _CALC, "Use // instead of / in divide", ("a / b", "a // b")),
    _example("delete line", _CALC, "Remove the line print(add(first, second))", ("    print(add(first, second))\n", "")),
    _example("change return", _STORE, "Make take return None instead of False", ("return False", "return None")),
    _example("add import, worded", _CALC, "Add an import of os", ("import sys\n", "import sys\nimport os\n")),
    _example("comment", _STATS, 'Add the comment "square root of the variance" above deviation', ("def deviation", "# square root of the variance\ndef deviation")),
)  # fmt: skip
