"""Bugs put into a file on purpose, and the instruction that asks to take them out again."""

import ast
import random
from collections.abc import Callable

from dovetail.models.embedded import snippets
from dovetail.models.embedded.tasks.code import Code, Function, Task, phrase

_FLIP: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=", ast.GtE: "<", ast.Gt: "<=", ast.LtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_EDGE: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_TEXT: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.GtE: ">=", ast.Gt: ">", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_MEANING = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}

_INVERTED = ("Fix the bug: the condition in {f} is inverted", "Fix the inverted condition in {f}", "The comparison in {f} is wrong way round, fix it", "The condition in {f} is inverted, fix it", "Fix the bug in {f}: the condition is the wrong way round", "Invert the condition in {f}")  # fmt: skip
_BOUNDARY = (
    "Fix the off-by-one error in {f}",
    "Fix the off-by-one bug in {f}",
    "Fix the bug: {f} is off by one at the boundary",
    "Fix the boundary check in {f}",
)
_SWAPPED = (
    "Fix the bug: the arguments of {g} in {f} are swapped",
    "The arguments of {g} are swapped in {f}, fix it",
    "Swap the arguments of {g} in {f}",
)
_OPERATOR = ("Fix the bug: {f} should use {o_}", "Fix the wrong operator in {f}: it should be {o_}", "Fix the bug in {f}: use {o_} instead of {w_}", "{f} uses {w_} but should use {o_}, fix it")  # fmt: skip
_NAMED = (
    "Fix the bug in {f}",
    "Fix {f}",
    "{f} returns the wrong result, fix it",
    "Fix the bug: {f} returns the wrong result",
    "There is a bug in {f}, fix it",
)

Broken = tuple[str, Task]
Breaker = Callable[[str, random.Random], Broken | None]

_MEANT = (  # a body that its name alone gives away, and wrong versions of the line that matters
    ("add", "({a}, {b})", "    return {a} + {b}\n", ("    return {a} - {b}\n", "    return {a} * {b}\n")),
    ("plus", "({a}, {b})", "    return {a} + {b}\n", ("    return {a} - {b}\n",)),
    ("subtract", "({a}, {b})", "    return {a} - {b}\n", ("    return {a} + {b}\n", "    return {b} - {a}\n")),
    ("multiply", "({a}, {b})", "    return {a} * {b}\n", ("    return {a} + {b}\n", "    return {a} / {b}\n")),
    ("divide", "({a}, {b})", "    return {a} / {b}\n", ("    return {a} * {b}\n", "    return {b} / {a}\n")),
    ("is_even", "({a})", "    return {a} % 2 == 0\n", ("    return {a} % 2 == 1\n", "    return {a} % 2 != 0\n")),
    ("is_odd", "({a})", "    return {a} % 2 == 1\n", ("    return {a} % 2 == 0\n",)),
    ("square", "({a})", "    return {a} * {a}\n", ("    return {a} + {a}\n", "    return {a} * 2\n")),
    ("is_positive", "({a})", "    return {a} > 0\n", ("    return {a} < 0\n",)),
    ("is_negative", "({a})", "    return {a} < 0\n", ("    return {a} > 0\n",)),
    ("is_empty", "({a})", "    return len({a}) == 0\n", ("    return len({a}) != 0\n", "    return len({a}) > 0\n")),
    ("maximum", "({a}, {b})", "    return {a} if {a} > {b} else {b}\n", ("    return {a} if {a} < {b} else {b}\n",)),
    ("minimum", "({a}, {b})", "    return {a} if {a} < {b} else {b}\n", ("    return {a} if {a} > {b} else {b}\n",)),
    (
        "average",
        "({a})",
        "    return sum({a}) / len({a})\n",
        ("    return sum({a}) * len({a})\n", "    return len({a}) / sum({a})\n"),
    ),
    ("area", "(width, height)", "    return width * height\n", ("    return width + height\n",)),
    ("total", "({a})", "    return sum({a})\n", ("    return len({a})\n", "    return max({a})\n")),
    ("first", "({a})", "    return {a}[0]\n", ("    return {a}[1]\n", "    return {a}[-1]\n")),
    ("last", "({a})", "    return {a}[-1]\n", ("    return {a}[0]\n",)),
)


def _comparisons(function: Function) -> list[ast.Compare]:
    return [
        n for n in ast.walk(function) if isinstance(n, ast.Compare) and len(n.ops) == 1 and n.end_lineno == n.lineno
    ]


def _compare(code: Code, rng: random.Random, function: Function) -> tuple[ast.expr, str, str] | None:
    nodes = _comparisons(function)
    if len(nodes) != 1:
        return None
    node = nodes[0]
    kind = type(node.ops[0])
    edge = kind in _EDGE and rng.random() < 0.4
    wrong = _EDGE[kind] if edge else _FLIP.get(kind)
    if wrong is None:
        return None
    broken = f"{code.source(node.left)} {wrong} {code.source(node.comparators[0])}"
    templates = _BOUNDARY if edge else _INVERTED
    if rng.random() < 0.25:
        templates = _OPERATOR
    return node, broken, phrase(rng, templates, f=function.name, o_=_TEXT[kind], w_=wrong)


def _arithmetic(code: Code, rng: random.Random, function: Function) -> tuple[ast.expr, str, str] | None:
    nodes = [n for n in ast.walk(function) if isinstance(n, ast.BinOp) and type(n.op) in _OPERATORS]
    if len(nodes) != 1:
        return None
    node = nodes[0]
    right = _OPERATORS[type(node.op)]
    wrong = rng.choice([o for o in _OPERATORS.values() if o != right])
    broken = f"{code.source(node.left)} {wrong} {code.source(node.right)}"
    templates: tuple[str, ...] = _OPERATOR
    if rng.random() < 0.4:
        meaning = _MEANING[right]
        templates = (
            f"Fix the bug: {{f}} should {meaning}",
            f"{{f}} should {meaning}, fix the bug",
            f"Fix {{f}}: it should {meaning} instead of {_MEANING[wrong]}",
        )
    return node, broken, phrase(rng, templates, f=function.name, o_=right, w_=wrong)


def _swap(code: Code, rng: random.Random, function: Function) -> tuple[ast.expr, str, str] | None:
    calls = [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.Call) and len(n.args) == 2 and not n.keywords and isinstance(n.func, ast.Name)
    ]
    if not calls:
        return None
    node = rng.choice(calls)
    assert isinstance(node.func, ast.Name)
    if len(code.names[node.func.id]) > 2 or any(isinstance(a, ast.Starred) for a in node.args):
        return None
    first, second = (code.source(a) for a in node.args)
    return node, f"{node.func.id}({second}, {first})", phrase(rng, _SWAPPED, f=function.name, g=node.func.id)


_BREAKERS = (_compare, _compare, _arithmetic, _swap)


def break_file(text: str, rng: random.Random) -> Broken | None:
    """A broken version of a file and the task of repairing it, or None where nothing fits."""
    code = Code(text)
    if not code.functions:
        return None
    attempts = (rng.choice(_BREAKERS)(code, rng, rng.choice(code.functions)) for _ in range(6))
    found = next((attempt for attempt in attempts if attempt is not None), None)
    if found is None:
        return None
    node, broken_source, instruction = found
    if code.source(node) == broken_source or node.end_lineno != node.lineno or node.end_col_offset is None:
        return None
    right_line = code.lines[node.lineno - 1]
    wrong_line = right_line[: node.col_offset] + broken_source + right_line[node.end_col_offset :]
    return _broken(code.lines, node.lineno - 1, wrong_line, instruction)


def break_meaning(text: str, rng: random.Random) -> Broken | None:
    """Append a function whose name says what it should do, done wrongly."""
    name, signature, right, wrongs = rng.choice(_MEANT)
    if f"def {name}(" in text:
        return None
    a, b = (
        rng.sample(snippets.NOUNS, 2)
        if rng.random() < 0.4
        else rng.choice((("a", "b"), ("x", "y"), ("first", "second"), ("left", "right"), ("m", "n")))
    )
    name = name + rng.choice(("", "", "", f"_{rng.choice(snippets.NOUNS)}s"))
    fill = {"a": a, "b": b}
    lines = [f"def {name}{signature.format(**fill)}:\n", right.format(**fill)]
    other = text.splitlines(keepends=True)
    before = rng.random() < 0.4 and other[0].startswith("def ")
    whole = [*lines, "\n", "\n", *other] if before else [*other, "\n", "\n", *lines]
    place = 1 if before else len(whole) - 1
    return _broken(whole, place, rng.choice(wrongs).format(**fill), phrase(rng, _NAMED, f=name))


def _broken(lines: list[str], place: int, wrong: str, instruction: str) -> Broken | None:
    text = "".join([*lines[:place], wrong, *lines[place + 1 :]])
    try:
        code = Code(text)
    except SyntaxError:
        return None
    return text, Task("fix bug", instruction, code.replace_span(place + 1, 0, len(wrong), lines[place]))
