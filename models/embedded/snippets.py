"""Short made-up Python files of the kind a person tries first: a calculator, a counter, a client.

Names are drawn from a word list, so that no identifier can be memorised and the model has to copy
from what it reads. Knows nothing of instructions.
"""

import random
from collections.abc import Callable
from typing import Final

Maker = Callable[[random.Random], str]


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


VERBS: Final = _split(
    "add get make load save parse send read write build find count merge sort filter check update remove create fetch apply "
    "compute convert format join split scale clamp reset start stop open close push pop insert lookup render encode decode "
    "normalize validate compare select collect reduce measure convert cache retry log print plus subtract multiply divide "
    "multiply square double total sum mean average greet hello area distance power"
)
NOUNS: Final = _split(
    "user item name path file line word token value number price order total score point color image page node edge tree list "
    "table row column key index buffer queue stack task job event message request response session config option result "
    "error record report account balance email address city country temperature speed width height size count limit rate "
    "timeout retries delay interval amount discount tax weight length offset batch chunk header body payload url host port "
    "client server model layer graph matrix vector angle radius date time day month year customer product cart invoice"
)
ADJECTIVES: Final = _split(
    "max min first last next old new base local remote total raw clean valid active empty current previous"
)
TYPES: Final = ("int", "str", "float", "bool", "list", "dict", "list[int]", "list[str]", "dict[str, int]")
_CLASS_SUFFIXES: Final = (
    "",
    "",
    "Store",
    "Manager",
    "Client",
    "Service",
    "Cache",
    "Queue",
    "Config",
    "Reader",
    "Counter",
    "Parser",
)


def noun(rng: random.Random) -> str:
    """A variable-like name."""
    word = rng.choice(NOUNS)
    roll = rng.random()
    if roll < 0.15:
        return f"{rng.choice(ADJECTIVES)}_{word}"
    if roll < 0.22:
        return f"{word}_{rng.choice(NOUNS)}"
    if roll < 0.32:
        return rng.choice("abcdefghijkmnpqrstuvwxyz")
    return word


def verb(rng: random.Random) -> str:
    """A function-like name."""
    word = rng.choice(VERBS)
    roll = rng.random()
    if roll < 0.45:
        return f"{word}_{rng.choice(NOUNS)}"
    if roll < 0.55:
        return f"{word}_{rng.choice(ADJECTIVES)}_{rng.choice(NOUNS)}"
    if roll < 0.65:
        return f"is_{rng.choice(ADJECTIVES)}" if rng.random() < 0.5 else rng.choice(NOUNS)
    return word


def class_name(rng: random.Random) -> str:
    return rng.choice(NOUNS).capitalize() + rng.choice(_CLASS_SUFFIXES)


def constant_name(rng: random.Random) -> str:
    return (
        noun(rng).upper()
        if rng.random() < 0.4
        else f"{rng.choice(('DEFAULT', 'MAX', 'MIN', 'BASE'))}_{rng.choice(NOUNS).upper()}"
    )


def number(rng: random.Random) -> str:
    """A literal number as people write them."""
    kind = rng.random()
    if kind < 0.45:
        return str(rng.randint(0, 20))
    if kind < 0.75:
        return str(
            rng.choice(
                (
                    5,
                    10,
                    15,
                    20,
                    25,
                    30,
                    50,
                    60,
                    64,
                    80,
                    100,
                    120,
                    128,
                    200,
                    255,
                    256,
                    300,
                    500,
                    512,
                    1000,
                    1024,
                    3600,
                    8080,
                )
            )
        )
    if kind < 0.9:
        return str(rng.randint(20, 9999))
    return f"{rng.randint(0, 20)}.{rng.choice((1, 2, 25, 5, 75, 9))}"


def text(rng: random.Random) -> str:
    """The inside of a string literal."""
    words = [rng.choice(NOUNS + VERBS) for _ in range(rng.randint(1, 4))]
    joined = rng.choice((" ", " ", "-", "_")).join(words)
    return rng.choice(
        (joined, joined, joined.capitalize(), joined + rng.choice(("!", ".", ": ", "/", ".json", ".txt")))
    )


def _names(rng: random.Random, count: int) -> list[str]:
    chosen: list[str] = []
    while len(chosen) < count:
        name = noun(rng)
        if name not in chosen:
            chosen.append(name)
    return chosen


FUNCTIONS: Final = (
    "def {f}({a}, {b}):\n    return {a} {op} {b}\n",
    "def {f}({a}, {b}):\n    return {b} {op} {a}\n",
    "def {f}({a}):\n    return {a} {op} {n}\n",
    "def {f}({a}: {t}, {b}: {u}) -> {t}:\n    return {a} {op} {b}\n",
    "def {f}({a}, {b}={n}):\n    {c} = {a} {op} {b}\n    return {c}\n",
    "def {f}({a}, {b}={n}, {c}=None):\n    if {c} is None:\n        {c} = {m}\n    return {a} {op} {b} {op} {c}\n",
    "def {f}({a}):\n    if {a} {cmp} {n}:\n        return {a}\n    return {m}\n",
    'def {f}({a}, {b}):\n    if {b} == 0:\n        raise ValueError("{s}")\n    return {a} / {b}\n',
    "def {f}({a}):\n    {b} = 0\n    for {c} in {a}:\n        {b} += {c}\n    return {b}\n",
    "def {f}({a}):\n    {b} = []\n    for {c} in {a}:\n        if {c} {cmp} {n}:\n            {b}.append({c})\n    return {b}\n",
    "def {f}({a}):\n    return [{b} {op} {n} for {b} in {a}]\n",
    "def {f}({a}):\n    return [{b} for {b} in {a} if {b} {cmp} {n}]\n",
    "def {f}({a}):\n    return {{{b}: len({b}) for {b} in {a}}}\n",
    "def {f}({a}, {b}={n}):\n    with open({a}) as {c}:\n        return {c}.read({b})\n",
    "def {f}({a}, {b}):\n    if {a} {cmp} {b}:\n        return {a}\n    else:\n        return {b}\n",
    'def {f}({a}):\n    print("{s}", {a})\n',
    'def {f}({a}, {b}="{s}"):\n    return {b} + {a}\n',
    'def {f}({a}):\n    return f"{s} {{{a}}}"\n',
    "def {f}({a}, {b}={n}):\n    for {c} in range({b}):\n        print({c}, {a})\n",
    "def {f}({a}, {b}):\n    {c} = {a}.get({b})\n    if {c} is None:\n        return {n}\n    return {c}\n",
    "def {f}({a}):\n    {b} = {n}\n    while {a} {cmp} {m}:\n        {a} = {a} - 1\n        {b} = {b} {op} {a}\n    return {b}\n",
    "def {f}({a}: {t}) -> {u}:\n    {b} = {a}\n    {c} = {b} {op} {n}\n    return {c}\n",
    "def {f}({a}, {b}):\n    try:\n        return {a}[{b}]\n    except KeyError:\n        return {n}\n",
    "def {f}():\n    return {n}\n",
    "def {f}({a}, {b}, {c}):\n    return {a} {op} {b} {op} {c}\n",
    "def {f}({a}, {b}={n}, {c}={m}):\n    {d} = {a} {op} {b}\n    return {d} {op} {c}\n",
    "async def {f}({a}, {b}={n}):\n    {c} = await {a}.get({b})\n    return {c}\n",
)
METHODS: Final = (
    "    def {f}(self):\n        return self.{x}\n",
    "    def {f}(self, {a}):\n        self.{x} = {a}\n",
    "    def {f}(self, {a}):\n        self.{x} += {a}\n        return self.{x}\n",
    "    def {f}(self, {a}={n}):\n        return self.{x} {op} {a}\n",
    "    def {f}(self):\n        self.{x} = {n}\n",
    "    def {f}(self, {a}):\n        if {a} {cmp} self.{x}:\n            return {a}\n        return self.{x}\n",
    "    def {f}(self, {a}, {b}={n}):\n        {c} = self.{x} {op} {b}\n        return {c} {op} {a}\n",
    '    def {f}(self):\n        return f"{s} {{self.{x}}}"\n',
    '    def {f}(self, {a}):\n        if {a} {cmp} {n}:\n            raise ValueError("{s}")\n        self.{x} -= {a}\n',
)
_IMPORTS: Final = (
    "import os",
    "import sys",
    "import json",
    "import math",
    "import random",
    "import time",
    "import re",
    "import logging",
)
_OPERATORS: Final = ("+", "+", "-", "*", "*", "/", "//", "%")
_COMPARISONS: Final = ("<", ">", "<=", ">=", "==", "!=")


def _fill(rng: random.Random, template: str, function: str, attribute: str = "") -> str:
    a, b, c, d = _names(rng, 4)
    return template.format(
        f=function, a=a, b=b, c=c, d=d, x=attribute, n=number(rng), m=number(rng), s=text(rng),
        t=rng.choice(TYPES), u=rng.choice(TYPES), op=rng.choice(_OPERATORS), cmp=rng.choice(_COMPARISONS),
    )  # fmt: skip


def _class(rng: random.Random, name: str) -> str:
    attributes = _names(rng, rng.randint(1, 3))
    default = rng.random() < 0.4
    parameters = ", ".join(f"{x}={number(rng)}" if default else x for x in attributes)
    lines = [f"class {name}:\n"]
    if rng.random() < 0.3:
        lines.append(f'    """{text(rng).capitalize().rstrip(".:!/ ")}."""\n\n')
    lines.append(f"    def __init__(self, {parameters}):\n")
    lines += [f"        self.{x} = {x}\n" for x in attributes]
    for _ in range(rng.randint(1, 4)):
        lines.append("\n" + _fill(rng, rng.choice(METHODS), verb(rng), rng.choice(attributes)))
    return "".join(lines)


def _main(rng: random.Random, functions: list[str]) -> str:
    calls = [f"    print({name}({number(rng)}, {number(rng)}))\n" for name in functions[:3]]
    if rng.random() < 0.5:
        return 'if __name__ == "__main__":\n' + "".join(calls)
    return "def main():\n" + "".join(calls) + '\n\nif __name__ == "__main__":\n    main()\n'


CALLS: Final = (
    "def {f}({a}, {b}):\n    return {g}({a}, {b})\n",
    "def {f}({a}):\n    {b} = {g}({a}, {n})\n    return {b}\n",
    "def {f}({a}):\n    {b} = [{g}({c}, {n}) for {c} in {a}]\n    return {b}\n",
    "def {f}({a}, {b}):\n    {c} = {g}({a}, {n})\n    print({c})\n    return {g}({c}, {b})\n",
    'def {f}({a}, {b}):\n    return f"{s}: {{{g}({a}, {b})}}"\n',
    'def {f}({a}, {b}, {c}):\n    return f"{{{a}}}: {{{g}({b}, {c})}}"\n',
    'def {f}({a}):\n    print(f"{s} {{{g}({a})}}")\n',
    "def {f}({a}, {b}={n}):\n    return sum({g}({c}, {b}) for {c} in {a})\n",
    "def {f}({a}, {b}={n}):\n    {c} = {h}({a})\n    return {h}({g}({c}, {b}))\n",
    "def {f}({a}, {b}):\n    return {h}({g}({a}, {b}), {n})\n",
    "def {f}({a}):\n    if {g}({a}) {cmp} {n}:\n        return {h}({a})\n    return {g}({a}, {m})\n",
    "def test_{f}():\n    assert {g}({n}, {m}) == {n}\n",
    "class {k}:\n    def __init__(self):\n        self.{a} = []\n\n    def {f}(self, {b}):\n        return {g}(self.{a}, {b})\n",
    "class {k}:\n    def __init__(self, {a}={n}):\n        self.{a} = {a}\n\n    def {f}(self, {b}=0):\n"
    "        {c} = self.{a} {op} {b}\n        return {h}({g}({c}, {b}))\n",
)


def _call(rng: random.Random, callee: str, others: list[str]) -> str:
    """A function or class that uses another function, maybe one beside a third."""
    a, b, c, _ = _names(rng, 4)
    beside = rng.choice([*others, "str", "len", "round", verb(rng)])
    return rng.choice(CALLS).format(
        f=verb(rng), g=callee, h=beside, a=a, b=b, c=c, n=number(rng), m=number(rng), s=text(rng), k=class_name(rng),
        op=rng.choice(_OPERATORS), cmp=rng.choice(_COMPARISONS),
    )  # fmt: skip


def make_file(rng: random.Random) -> str:
    """One whole file of 3 to about 45 lines."""
    head = ""
    if rng.random() < 0.25:
        head += f'"""{text(rng).capitalize().rstrip(".:!/ ")}."""\n\n'
    if rng.random() < 0.45:
        head += "\n".join(sorted(set(rng.sample(_IMPORTS, rng.randint(1, 3))))) + "\n"
        head += "\n" if rng.random() < 0.5 else "\n\n"
    functions: list[str] = []
    imported = rng.random() < 0.45
    if imported:
        functions = sorted({verb(rng) for _ in range(rng.randint(1, 3))})
        module = rng.choice(
            (rng.choice(NOUNS), f"{rng.choice(NOUNS)}.{rng.choice(NOUNS)}s", f"{rng.choice(NOUNS)}_{rng.choice(NOUNS)}")
        )
        head += f"from {module} import {', '.join(functions)}\n\n\n"
    parts: list[str] = []
    if rng.random() < 0.4:
        names = {constant_name(rng) for _ in range(rng.randint(1, 3))}
        values = [number(rng) if rng.random() < 0.7 else f'"{text(rng)}"' for _ in names]
        parts.append("".join(f"{name} = {value}\n" for name, value in zip(sorted(names), values, strict=True)))
    for _ in range(rng.randint(1, 6)):
        roll = rng.random()
        if roll < 0.18:
            parts.append(_class(rng, class_name(rng)))
        elif roll < (0.75 if imported else 0.45) and functions:
            parts.append(_call(rng, rng.choice(functions), functions))
        else:
            name = verb(rng)
            functions.append(name)
            parts.append(_fill(rng, rng.choice(FUNCTIONS), name))
    if functions and rng.random() < 0.45:
        parts.append(_main(rng, functions))
    return head + "\n\n".join(parts)


def make_function(rng: random.Random) -> str:
    """One made-up function."""
    return _fill(rng, rng.choice(FUNCTIONS), verb(rng))
