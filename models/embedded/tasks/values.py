"""Small changes of values: literals, defaults, operators, raised types, returned expressions."""

import ast
import random

from dovetail.models.embedded import snippets
from dovetail.models.embedded.tasks.code import Code, Function, Task, parameters, phrase, words

_SET = (
    "Change {a} from {o_} to {n_}", "Set {a} to {n_}", "Change {a} to {n_}", "Set the value of {a} to {n_}", "{a} should be {n_}",
    "{a} should be {n_} instead of {o_}", "Make {a} {n_}", "change {a} from {o_} to {n_}", "Use {n_} for {a}", "Change the value of {a} to {n_}",
)  # fmt: skip
SET_TO = (
    "Set {a} to {n_}",
    "Change {a} to {n_}",
    "Set the value of {a} to {n_}",
    "{a} should be {n_}",
    "Change the value of {a} to {n_}",
)
_HUMAN = (
    "Change the {h_} from {o_} to {n_}",
    "Set the {h_} to {n_}",
    "The {h_} should be {n_}",
    "Make the {h_} {n_}",
    "Change the {h_} to {n_}",
)
_DEFAULT = (
    "Change the default {a} from {o_} to {n_}", "Change the default {a} from {o_} to {n_}", "Change the default of {a} to {n_}",
    "Change the default value of {a} to {n_}", "Make the default {a} {n_}", "Set the default {a} to {n_}", "{a} should default to {n_}",
    "Change the {a} from {o_} to {n_}", "Change {a} from {o_} to {n_}", "change the default {a} to {n_}",
)  # fmt: skip
_RETURN = (
    "Make {f} return {n_}", "{f} should return {n_}", "Change {f} to return {n_}", "{f} should return {n_} instead of {o_}",
    "Return {n_} instead of {o_} in {f}", "Change the return value of {f} to {n_}", "Let {f} return {n_}", "In {f}, return {n_}",
)  # fmt: skip
_REPLACE = ("Replace {o_} with {n_}", "Change {o_} to {n_}", "Use {n_} instead of {o_}", "Replace {o_} by {n_}", "Replace {o_} with {n_} in {f}", "Use {n_} instead of {o_} in {f}", "Change {o_} to {n_} in {f}", "In {f}, change {o_} to {n_}")  # fmt: skip
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_VERBS = {"+": "Add", "-": "Subtract", "*": "Multiply", "/": "Divide"}
_ERRORS = (
    "ValueError",
    "TypeError",
    "KeyError",
    "RuntimeError",
    "IndexError",
    "OSError",
    "LookupError",
    "NotImplementedError",
    "AttributeError",
)


def new_literal(code: Code, node: ast.Constant, rng: random.Random) -> str | None:
    """A different literal of the same type, in the quotes of the old one."""
    old = code.source(node)
    value = node.value
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int | float):
        new = snippets.number(rng)
        return new if new != old else None
    if (
        isinstance(value, str)
        and old[:1] in "'\""
        and not old.startswith(('"""', "'''"))
        and len(old) < 40
        and "\\" not in old
    ):
        new = old[0] + snippets.text(rng) + old[0]
        return new if new != old else None
    return None


def change_value(code: Code, rng: random.Random) -> Task | None:
    """A constant or attribute that is assigned a literal once."""
    found = []
    for node in code.nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.value, ast.Constant):
            target = node.targets[0]
            name = (
                target.id
                if isinstance(target, ast.Name)
                else target.attr
                if isinstance(target, ast.Attribute)
                else None
            )
            if name and len(name) > 1:
                found.append((name, node.value))
    unique = [(name, value) for name, value in found if sum(n == name for n, _ in found) == 1]
    if not unique:
        return None
    name, value = rng.choice(unique)
    new = new_literal(code, value, rng)
    edits = code.replace_node(value, new) if new else None
    if edits is None or new is None:
        return None
    templates = _HUMAN if name.isupper() and rng.random() < 0.5 else _SET
    return Task("change value", phrase(rng, templates, a=name, h_=words(name), o_=code.source(value), n_=new), edits)


def _defaults(function: Function) -> list[tuple[str, ast.expr]]:
    spec = function.args
    plain = [*spec.posonlyargs, *spec.args]
    pairs = list(zip([a.arg for a in plain[len(plain) - len(spec.defaults) :]], spec.defaults, strict=True))
    return pairs + [(a.arg, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is not None]


def change_default(code: Code, rng: random.Random) -> Task | None:
    functions = [n for n in code.nodes if isinstance(n, Function)]
    found = [(f, name, d) for f in functions for name, d in _defaults(f) if isinstance(d, ast.Constant)]
    if not found:
        return None
    function, name, default = rng.choice(found)
    assert isinstance(default, ast.Constant)
    old = code.source(default)
    new = (
        rng.choice(("True", "False", "0", "1", "[]", '""'))
        if default.value is None
        else new_literal(code, default, rng)
    )
    edits = code.replace_node(default, new) if new else None
    if edits is None or new is None:
        return None
    templates: tuple[str, ...] = _DEFAULT
    if sum(n == name for _, n, _ in found) > 1 or rng.random() < 0.35:
        templates = tuple(f"{t} in {{f}}" for t in _DEFAULT) + tuple(
            t.replace("{a}", "{a} of {f}") for t in _DEFAULT[:6]
        )
    return Task("change default", phrase(rng, templates, a=name, f=function.name, o_=old, n_=new), edits)


def change_literal(code: Code, rng: random.Random) -> Task | None:
    """A literal somewhere in a function, named by its old value."""
    if not code.functions:
        return None
    function = rng.choice(code.functions)
    nodes = [
        n for s in function.body for n in ast.walk(s) if isinstance(n, ast.Constant) and not isinstance(n.value, bool)
    ]
    nodes = [n for n in nodes if code.source(n) and sum(code.source(m) == code.source(n) for m in nodes) == 1]
    if not nodes:
        return None
    node = rng.choice(nodes)
    old, new = code.source(node), new_literal(code, node, rng)
    edits = code.replace_node(node, new) if new else None
    if edits is None or new is None or code.formatted.count(old):
        return None
    templates = _REPLACE if code.text.count(old) == 1 else _REPLACE[4:]
    return Task("change literal", phrase(rng, templates, f=function.name, o_=old, n_=new), edits)


def expression(function: Function, rng: random.Random) -> str:
    """A made-up expression over a function's parameters."""
    names = [a.arg for a in parameters(function)] or ["0"]
    a, b = rng.choice(names), rng.choice([*names, snippets.number(rng)])
    forms = (
        f"{a} + {b}",
        f"{a} - {b}",
        f"{a} * {b}",
        a,
        snippets.number(rng),
        "None",
        "True",
        "False",
        "[]",
        f"len({a})",
        f"not {a}",
        f"str({a})",
    )
    return rng.choice(forms)


def change_return(code: Code, rng: random.Random) -> Task | None:
    found = [(f, [n for n in ast.walk(f) if isinstance(n, ast.Return)]) for f in code.functions]
    single = [(f, r[0]) for f, r in found if len(r) == 1 and r[0].value is not None]
    if not single:
        return None
    function, node = rng.choice(single)
    assert node.value is not None
    old, new = code.source(node.value), expression(function, rng)
    edits = code.replace_node(node.value, new)
    if edits is None or old == new or len(old) > 60:
        return None
    return Task("change return", phrase(rng, _RETURN, f=function.name, o_=old, n_=new), edits)


def change_operator(code: Code, rng: random.Random) -> Task | None:
    """The only arithmetic operator of a function."""
    found = []
    for function in code.functions:
        nodes = [n for n in ast.walk(function) if isinstance(n, ast.BinOp) and type(n.op) in _OPERATORS]
        if len(nodes) == 1:
            found.append((function, nodes[0]))
    if not found:
        return None
    function, node = rng.choice(found)
    old = _OPERATORS[type(node.op)]
    new = rng.choice([o for o in _OPERATORS.values() if o != old])
    edits = code.replace_node(node, f"{code.source(node.left)} {new} {code.source(node.right)}")
    if edits is None or code.source(node) != f"{code.source(node.left)} {old} {code.source(node.right)}":
        return None
    templates: tuple[str, ...] = _REPLACE[4:]
    if new in _VERBS:
        templates += (
            f"{_VERBS[new]} in {{f}}",
            f"{_VERBS[new]} instead in {{f}}",
            f"{{f}} should {_VERBS[new].lower()}",
        )
        if old in _VERBS:
            templates += (f"{{f}} should {_VERBS[new].lower()} instead of {_VERBS[old].lower()}",)
    return Task("change operator", phrase(rng, templates, f=function.name, o_=old, n_=new), edits)


def change_error(code: Code, rng: random.Random) -> Task | None:
    raises = [n.exc.func for n in code.nodes if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)]
    named = [n for n in raises if isinstance(n, ast.Name)]
    if not named:
        return None
    node = rng.choice(named)
    new = rng.choice(_ERRORS)
    if new == node.id or len(code.names[node.id]) != 1:
        return None
    templates = (
        "Raise {n} instead of {o}",
        "Raise a {n} instead of a {o}",
        "Replace {o} with {n}",
        "Change the {o} to a {n}",
        "Use {n} instead of {o}",
    )
    return Task(
        "change error",
        phrase(rng, templates, n=new, o=node.id),
        code.rename(node.id, new, [(node.lineno, node.col_offset)]),
    )
