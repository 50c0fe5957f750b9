"""Texts and conversations that the check tries: code, indentation, line ends, alphabets, edges of tokens."""

from __future__ import annotations

from typing import Any

CODE = '''\
from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Account:
    """Money in whole cents; never below zero."""

    owner: str
    cents: int = 0
    history: list[tuple[str, int]] = field(default_factory=list)

    def deposit(self, amount: int, note: str = "") -> None:
        if amount <= 0:
            raise ValueError(f"amount must be positive, not {amount!r}")
        self.cents += amount
        self.history.append((note, amount))

    def withdraw(self, amount: int) -> bool:
        if amount > self.cents:
            return False  # not enough
        self.cents -= amount
        return True


def total(accounts: list[Account]) -> int:
    return sum(account.cents for account in accounts)


NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
'''

TEXTS: tuple[str, ...] = (
    CODE,
    "",
    " ",
    "\n\n\n",
    "a",
    " leading and trailing  ",
    "\tif (x) {\r\n\t\treturn x->y[0] >> 2;\r\n\t}\r\n",
    "        deeply\n                indented\n    and back",
    "function f(a, b = 1) { return `${a} + ${b}`; } // template",
    "x = 1234567890 + 0xDEADBEEF - 3.14159e-10; y = 007",
    "naïve café, Straße, Ελληνικά, русский, 中文 变量, 日本語, עברית, 한국어",
    "emoji 👩‍💻🚀 and marks é e\u0301 \u200d\u00a0\ufeff end",
    "don't they're we'll I'd CamelCase snake_case SCREAMING_CASE kebab-case",
    "==== !!== <<>> -> => :: .. ... &&|| ??? @@ ## $$ %%",
)

_QUESTION: dict[str, Any] = {"role": "user", "content": "What does total() return?\n\n```python\n" + CODE + "```"}
_ANSWER: dict[str, Any] = {"role": "assistant", "content": "The sum of all accounts' cents."}
_NEXT: dict[str, Any] = {"role": "user", "content": "Add a method close()."}

CONVERSATIONS: tuple[list[dict[str, Any]], ...] = (
    [_QUESTION],
    [_QUESTION, _ANSWER, _NEXT],
    [{"role": "system", "content": "Answer in one sentence."}, _QUESTION],
)
