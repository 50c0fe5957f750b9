"""A small shop whose modules can each be broken in one way, and a model that answers from a script."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from repositories import write
from scripted_edits import Scripted

from dovetail.agent.debug.fix import Fixer
from dovetail.agent.debug.report import FixReport
from dovetail.agent.debug.settings import FixSettings
from dovetail.agent.sandbox.outcome import Outcome


class Bug(NamedTuple):
    """A module's right code with one part of it made wrong, the test that shows it, and a wrong repair."""

    kind: str
    function: str
    code: str
    right: str
    wrong: str
    test: str
    other: str
    """A test that passes before, and that catches the wrong repair."""
    overfit: tuple[str, str]


BUGS = [
    Bug(
        "off by one",
        "total",
        "def total(prices):\n    result = 0\n    for index in range(len(prices)):\n        result += prices[index]\n    return result\n",
        "range(len(prices))",
        "range(len(prices) - 1)",
        "self.assertEqual(m.total([1, 2, 4]), 7)",
        "self.assertEqual(m.total([]), 0)",
        ("    return result\n", "    return 7\n"),
    ),
    Bug(
        "wrong operator",
        "is_adult",
        "def is_adult(age):\n    limit = 18\n    return age >= limit\n",
        "age >= limit",
        "age > limit",
        "self.assertTrue(m.is_adult(18))",
        "self.assertFalse(m.is_adult(17))",
        ("return age > limit", "return True"),
    ),
    Bug(
        "missing None check",
        "shout",
        "def shout(name):\n    if name is None:\n        return ''\n    return name.upper()\n",
        "    if name is None:\n        return ''\n",
        "",
        "self.assertEqual(m.shout(None), '')",
        "self.assertEqual(m.shout('a'), 'A')",
        ("    return name.upper()", "    return ''"),
    ),
    Bug(
        "wrong default",
        "pay",
        "def pay(price, rate=20):\n    return price + price * rate // 100\n",
        "rate=20",
        "rate=10",
        "self.assertEqual(m.pay(100), 120)",
        "self.assertEqual(m.pay(100, 5), 105)",
        ("return price + price * rate // 100", "return 120"),
    ),
    Bug(
        "mutable default",
        "collect",
        "def collect(item, into=None):\n    into = [] if into is None else into\n    into.append(item)\n    return into\n",
        "into=None):\n    into = [] if into is None else into\n",
        "into=[]):\n",
        "self.assertEqual((m.collect(1), m.collect(2))[1], [2])",
        "self.assertEqual(m.collect(3, [5]), [5, 3])",
        ("    return into", "    return [item]"),
    ),
    Bug(
        "wrong variable",
        "area",
        "def area(width, height):\n    doubled = width * 2\n    return doubled * height // 2\n",
        "doubled * height // 2",
        "doubled * width // 2",
        "self.assertEqual(m.area(2, 5), 10)",
        "self.assertEqual(m.area(3, 3), 9)",
        ("return doubled * width // 2", "return 10"),
    ),
    Bug(
        "missing import",
        "root",
        "import math\n\n\ndef root(number):\n    if number == 0:\n        return 0\n    return math.isqrt(number)\n",
        "import math\n",
        "",
        "self.assertEqual(m.root(9), 3)",
        "self.assertEqual(m.root(0), 0)",
        ("return math.isqrt(number)", "return 0"),
    ),
    Bug(
        "swapped arguments",
        "share",
        "def _divide(whole, parts):\n    return whole // parts\n\n\ndef share(coins, people):\n    return _divide(coins, people)\n",
        "_divide(coins, people)",
        "_divide(people, coins)",
        "self.assertEqual(m.share(10, 2), 5)",
        "self.assertEqual(m.share(4, 4), 1)",
        ("return _divide(people, coins)", "return 5"),
    ),
    Bug(
        "bad exception type",
        "require",
        "def require(value):\n    if value < 0:\n        raise ValueError('below zero')\n    return value\n",
        "raise ValueError(",
        "raise KeyError(",
        "self.assertRaises(ValueError, m.require, -1)",
        "self.assertEqual(m.require(3), 3)",
        ("    if value < 0:\n", "    if value > 0:\n"),
    ),
    Bug(
        "wrong key",
        "city",
        "def city(order):\n    address = order.get('address', {})\n    return address['city'] if address else ''\n",
        "address['city']",
        "address['town']",
        "self.assertEqual(m.city({'address': {'city': 'Ulm'}}), 'Ulm')",
        "self.assertEqual(m.city({}), '')",
        ("return address['town'] if address else ''", "return 'Ulm'"),
    ),
    Bug(
        "wrong return",
        "largest",
        "def largest(numbers):\n    best = numbers[0]\n    for each in numbers:\n        best = max(best, each)\n    return best\n",
        "return best",
        "return each",
        "self.assertEqual(m.largest([1, 9, 4]), 9)",
        "self.assertEqual(m.largest([1, 2]), 2)",
        ("return each", "return 9"),
    ),
    Bug(
        "encoding",
        "decode",
        "def decode(raw):\n    text = raw.decode('utf-8')\n    return text.strip()\n",
        "'utf-8'",
        "'ascii'",
        "self.assertEqual(m.decode('größe '.encode()), 'größe')",
        "self.assertEqual(m.decode(b' a'), 'a')",
        ("text = raw.decode('ascii')", "text = 'größe'"),
    ),
]


def module(bug: Bug) -> str:
    """The module's name."""
    return bug.kind.replace(" ", "_").lower()


def make_shop(root: Path, broken: Bug) -> None:
    """All modules and their tests, one of them broken; a Python without pytest, so that runs are short."""
    files: dict[str, str | bytes] = {"shop/__init__.py": "", "tests/__init__.py": ""}
    for bug in BUGS:
        name, title = module(bug), bug.kind.title().replace(" ", "")
        code = bug.code.replace(bug.right, bug.wrong, 1) if bug is broken else bug.code
        files[f"shop/{name}.py"] = code
        files[f"tests/test_{name}.py"] = (
            f"import unittest\n\nfrom shop import {name} as m\n\n\nclass Test{title}(unittest.TestCase):\n"
            f"    def test_shown(self):\n        {bug.test}\n\n    def test_other(self):\n        {bug.other}\n"
        )
    write(root, files)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(os.path.realpath(sys.executable))


class Here:
    """Runs commands without containment: for tests of what is not about containment."""

    containment = "none"

    def run(self, tree: Path, command: Sequence[str], seconds: float) -> Outcome:
        """As the sandbox would."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tree),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            list(command), cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return Outcome(tuple(command), done.returncode, done.stdout.decode("utf-8", "replace"), "exit", 0.0, "none")


def fix(root: Path, command: str, server: Scripted, *, resume: bool = False, **settings: Any) -> FixReport:
    """The report of a run there; the record lies beside the project."""
    given = {"repeats": 1, **settings}
    path = root.parent / f"{root.name}.jsonl"
    if not resume:
        path.unlink(missing_ok=True)
    return Fixer(FixSettings(command, root, **given), server.client, path, resume=resume, runner=Here()).run()


FIRST_WRONG = BUGS[0].code.replace(BUGS[0].right, BUGS[0].wrong, 1)
"""The first bug's code."""
