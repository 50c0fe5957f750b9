"""Edits that add or remove lines: docstrings, parameters, guards, prints, imports, functions."""

import ast
import random

from dovetail.models.embedded import snippets
from dovetail.models.embedded.blocks import LineEdit
from dovetail.models.embedded.tasks.code import Code, Function, Task, parameters, phrase, words

PLAIN_DOCSTRING: tuple[str, ...] = ("Add a docstring to {f}", "Add a docstring to {f}", "Write a docstring for {f}", "Document {f}", "Add a one-line docstring to {f}", "{f} needs a docstring", "Add docstring to {f}")  # fmt: skip
IMPORT = ("Import {m}", "Add import {m}", "Add an import of {m}", "import {m}", "Import the module {m}", "Import {m} at the top", "Add the missing import of {m}")  # fmt: skip
REMOVE_IMPORT = ("Remove the import of {m}", "Remove the unused import {m}", "Delete import {m}")
MODULES = (
    "os",
    "sys",
    "json",
    "re",
    "math",
    "time",
    "random",
    "logging",
    "datetime",
    "functools",
    "itertools",
    "pathlib",
    "collections",
)

_TYPES = (*snippets.TYPES, "bytes", "str | None", "int | None", "object")


def summary(name: str) -> str:
    """The docstring that "add a docstring" asks for when no text is given: the name as a sentence."""
    spoken = words(name)
    return f"{spoken[:1].upper()}{spoken[1:]}."


def add_docstring(code: Code, rng: random.Random) -> Task | None:
    nodes: list[Function | ast.ClassDef] = [n for n in (*code.functions, *code.classes) if ast.get_docstring(n) is None]
    if not nodes:
        return None
    node = rng.choice(nodes)
    first = node.body[0]
    if (
        not code.lines[first.lineno - 2].rstrip().endswith(":")
        or first.lineno == node.lineno
        or getattr(first, "decorator_list", None)
    ):
        return None
    templates = PLAIN_DOCSTRING
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    templates += (f"Add a docstring to the {kind} {{f}}", f"add a docstring to the {{f}} {kind}")
    doc = summary(node.name)
    if rng.random() < 0.35:
        doc = snippets.text(rng).capitalize().rstrip(".:!/ ") + "."
        if rng.random() < 0.4:
            doc = f"Return the {rng.choice(snippets.NOUNS)} of {rng.choice(snippets.NOUNS)}."
        templates = ('Add the docstring "{d_}" to {f}', 'Add a docstring to {f}: "{d_}"', 'Add the docstring "{d_}" to {f}', "Add a docstring to {f}: {d_}", 'Document {f} as "{d_}"', 'Add a docstring saying "{d_}" to {f}')  # fmt: skip
    return Task(
        "add docstring",
        phrase(rng, templates, f=node.name, d_=doc),
        code.insert(first.lineno - 1, f'{" " * first.col_offset}"""{doc}"""\n'),
    )


def remove_docstring(code: Code, rng: random.Random) -> Task | None:
    nodes = [n for n in (*code.functions, *code.classes) if ast.get_docstring(n) is not None and len(n.body) > 1]
    if not nodes:
        return None
    node = rng.choice(nodes)
    doc = node.body[0]
    end = doc.end_lineno or doc.lineno
    if end - doc.lineno > 3 or not code.lines[doc.lineno - 2].rstrip().endswith(":"):
        return None
    while code.lines[end].strip() == "":
        end += 1
    templates = (
        "Remove the docstring of {f}",
        "Delete the docstring from {f}",
        "Remove the docstring from {f}",
        "drop the docstring of {f}",
    )
    return Task("remove docstring", phrase(rng, templates, f=node.name), (LineEdit(doc.lineno - 1, end, ()),))


def add_parameter(code: Code, rng: random.Random) -> Task | None:
    plain = [
        f
        for f in code.functions
        if code.one_line_header(f) and not (f.args.vararg or f.args.kwarg or f.args.kwonlyargs)
    ]
    if not plain:
        return None
    function = rng.choice(plain)
    header = code.one_line_header(function) or ""
    name = snippets.noun(rng)
    value = rng.choice((snippets.number(rng), snippets.number(rng), "None", "True", "False", f'"{snippets.text(rng)}"'))
    close = header.rfind(") ->") if ") ->" in header else header.rfind("):")
    if (
        close < 0
        or name in {a.arg for a in parameters(function, skip_self=False)}
        or header.rstrip()[close:].count(")") != 1
    ):
        return None
    templates: tuple[str, ...] = ("Add a parameter {p} with default {v_} to {f}", "Add a parameter {p} to {f} with default {v_}", "Add an argument {p}={v_} to {f}", "Give {f} a parameter {p} that defaults to {v_}", "Add an optional parameter {p} (default {v_}) to {f}", "Add the parameter {p}={v_} to {f}", "{f} should take a parameter {p} with default {v_}")  # fmt: skip
    added = f"{name}={value}"
    if not function.args.defaults and rng.random() < 0.25:
        added, templates = (
            name,
            ("Add a parameter {p} to {f}", "Add an argument {p} to {f}", "{f} should take a parameter {p}"),
        )
    elif rng.random() < 0.12:
        kind = rng.choice(("int", "str", "bool", "float"))
        added, templates = (
            f"{name}: {kind} = {value}",
            ("Add a parameter {p}: {t_} = {v_} to {f}", "Add a parameter {p} of type {t_} with default {v_} to {f}"),
        )
        return Task(
            "add parameter",
            phrase(rng, templates, p=name, v_=value, f=function.name, t_=kind),
            _close(code, function, close, added),
        )
    return Task(
        "add parameter", phrase(rng, templates, p=name, v_=value, f=function.name), _close(code, function, close, added)
    )


def _close(code: Code, function: Function, close: int, added: str) -> tuple[LineEdit, ...]:
    some = function.args.args or function.args.posonlyargs
    return code.replace_span(function.lineno, close, close, f", {added}" if some else added)


def add_guard(code: Code, rng: random.Random) -> Task | None:
    """An early exit at the start of a function."""
    found = [(f, p.arg) for f in code.functions for p in parameters(f)]
    if not found:
        return None
    function, name = rng.choice(found)
    line = code.body_start(function)
    if line is None:
        return None
    pad = code.indent(function)
    slots = {"p": name, "f": function.name}
    if rng.random() < 0.6:
        templates: tuple[str, ...] = ("Raise a ValueError if {p} is None in {f}", "Raise ValueError when {p} is None in {f}", "Add a check to {f} that {p} is not None", "{f} should raise a ValueError if {p} is None", "Add a guard to {f}: raise ValueError if {p} is None", "In {f}, raise a ValueError if {p} is None", "Make {f} reject None for {p}", "Validate that {p} is not None in {f}")  # fmt: skip
        new = (f"{pad}if {name} is None:\n", f'{pad}    raise ValueError("{name} must not be None")\n')
        return Task("add guard", phrase(rng, templates, **slots), code.insert(line, *new))
    value = rng.choice(("None", "0", "[]", "False", '""', name, "{}", "1"))
    if rng.random() < 0.6:
        templates = ("Return {v_} early if {p} is empty in {f}", "{f} should return {v_} if {p} is empty", "Return {v_} from {f} when {p} is empty", "In {f}, return {v_} if not {p}", "Add an early return of {v_} to {f} if {p} is empty")  # fmt: skip
        condition = f"not {name}"
    else:
        bound = snippets.number(rng)
        operator, word = rng.choice(
            (("<", "less than"), (">", "greater than"), ("==", "equal to"), ("<", "below"), (">", "above"))
        )
        templates = (f"Return {{v_}} if {{p}} is {word} {bound} in {{f}}", f"{{f}} should return {{v_}} if {{p}} is {word} {bound}", f"In {{f}}, return {{v_}} if {{p}} {operator} {bound}")  # fmt: skip
        condition = f"{name} {operator} {bound}"
    return Task(
        "add guard",
        phrase(rng, templates, v_=value, **slots),
        code.insert(line, f"{pad}if {condition}:\n", f"{pad}    return {value}\n"),
    )


def add_print(code: Code, rng: random.Random) -> Task | None:
    if not code.functions:
        return None
    function = rng.choice(code.functions)
    line = code.body_start(function)
    if line is None:
        return None
    names = [a.arg for a in parameters(function)]
    call = "print"
    place = rng.choice(("at the start of {f}", "at the beginning of {f}", "at the top of {f}", "in {f}", "to {f}"))
    if names and rng.random() < 0.5:
        argument = rng.choice(names)
        templates: tuple[str, ...] = (
            f"Print {{p}} {place.replace('to ', 'in ')}",
            f"Add a print of {{p}} {place}",
            f"Add print({{p_}}) {place}",
            "{f} should print {p} first",
        )
    else:
        argument = f'"{snippets.text(rng)}"' if rng.random() < 0.7 else f'"{function.name}"'
        templates = (
            f"Print {{p_}} {place.replace('to ', 'in ')}",
            f"Add print({{p_}}) {place}",
            f"Add a print statement {{p_}} {place}",
        )
        if rng.random() < 0.35 and "logging" in code.names:
            call = rng.choice(("logging.info", "logging.debug", "logging.warning"))
            templates = (f"Log {{p_}} with {call} {place.replace('to ', 'in ')}", f"Add {call}({{p_}}) {place}")
    edits = code.insert(line, f"{code.indent(function)}{call}({argument})\n")
    return Task("add print", phrase(rng, templates, p=argument, p_=argument, f=function.name), edits)


def delete_statement(code: Code, rng: random.Random) -> Task | None:
    found = []
    for node in code.nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1:
            simple = [
                s
                for s in body
                if isinstance(s, ast.Expr | ast.Assign | ast.Import | ast.AugAssign) and s.end_lineno == s.lineno
            ]
            found += [s for s in simple if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if not found:
        return None
    node = rng.choice(found)
    line = code.lines[node.lineno - 1]
    old = line.strip()
    if sum(other.strip() == old for other in code.lines) != 1 or old != code.source(node) or len(old) > 70:
        return None
    templates: tuple[str, ...] = (
        "Remove the line {l}",
        "Delete the line {l}",
        "delete {l}",
        "Remove {l}",
        "Drop the line {l}",
    )
    name = ""
    if isinstance(node, ast.Import) and len(node.names) == 1:
        name = node.names[0].name
        templates += REMOVE_IMPORT
    prints = [
        n for n in code.nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"
    ]
    if old.startswith("print(") and len(prints) == 1:
        templates += ("Remove the print statement", "Delete the print", "Remove the print call")
    return Task("delete line", phrase(rng, templates, l=old, m=name), (LineEdit(node.lineno - 1, node.lineno, ()),))


def annotate(code: Code, rng: random.Random) -> Task | None:
    """A return type or a parameter type."""
    found = [f for f in code.functions if code.one_line_header(f)]
    if not found:
        return None
    function = rng.choice(found)
    header = code.one_line_header(function) or ""
    kind = rng.choice(_TYPES)
    bare = [a for a in parameters(function) if a.annotation is None]
    if function.returns is None and header.rstrip().endswith("):") and rng.random() < 0.55:
        kind = rng.choice((*_TYPES, "None", "None"))
        templates: tuple[str, ...] = ("Add the return type {t} to {f}", "Annotate the return type of {f} as {t}", "{f} returns {t}, add the annotation", "Add a return annotation {t} to {f}", "Add return type {t} to {f}", "The return type of {f} should be {t}")  # fmt: skip
        edits = code.replace_span(function.lineno, header.rfind("):") + 1, header.rfind("):") + 1, f" -> {kind}")
        return Task("annotate", phrase(rng, templates, t=kind, f=function.name), edits)
    if not bare:
        return None
    argument = rng.choice(bare)
    if argument.lineno != function.lineno or argument.end_col_offset is None:
        return None
    end = argument.end_col_offset
    spaced = header[end : end + 1] == "="  # PEP 8 puts spaces round the = of an annotated parameter
    edits = code.replace_span(function.lineno, end, end + spaced, f": {kind}" + (" = " if spaced else ""))
    templates = ("Annotate {p} of {f} as {t}", "Add the type {t} to the parameter {p} of {f}", "Add a type annotation {t} to {p} in {f}", "Annotate the parameter {p} in {f} with {t}", "{p} in {f} should have type {t}")  # fmt: skip
    return Task("annotate", phrase(rng, templates, t=kind, f=function.name, p=argument.arg), edits)


def add_import(code: Code, rng: random.Random) -> Task | None:
    imports = [n for n in code.tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    name = rng.choice(MODULES)
    line = f"import {name}\n"
    if line in code.lines:
        return None
    if imports:
        edits = code.insert(imports[-1].end_lineno or imports[-1].lineno, line)
    elif ast.get_docstring(code.tree) is None and code.tree.body[0].lineno == 1:
        edits = code.insert(0, line, "\n")
    else:
        return None
    return Task("add import", phrase(rng, IMPORT, m=name), edits)


def add_function(code: Code, rng: random.Random) -> Task | None:
    """A one-line function at the end of the file."""
    if not code.tree.body or code.lines[-1].startswith((" main", "    main")):
        return None
    name = snippets.verb(rng)
    a, b = rng.sample(snippets.NOUNS, 2) if rng.random() < 0.5 else rng.sample("abmnxyz", 2)
    operator = rng.choice("+-*/")
    if name in code.names:
        return None
    if rng.random() < 0.5:
        signature, body = f"{name}({a}, {b})", f"{a} {operator} {b}"
    else:
        signature, body = f"{name}({a})", f"{a} {operator} {snippets.number(rng)}"
    templates = ("Add a function {s} that returns {e}", "Add a function {s} returning {e}", "Add a function {s} that returns {e} at the end", "Write a function {s} that returns {e}")  # fmt: skip
    edits = code.insert(len(code.lines), "\n", "\n", f"def {signature}:\n", f"    return {body}\n")
    return Task("add function", phrase(rng, templates, s=signature, e=body), edits)


def add_comment(code: Code, rng: random.Random) -> Task | None:
    """A comment, or a decorator, above a definition."""
    nodes: list[Function | ast.ClassDef] = [n for n in (*code.functions, *code.classes) if not n.decorator_list]
    if not nodes:
        return None
    node = rng.choice(nodes)
    pad = " " * node.col_offset
    if rng.random() < 0.6 or isinstance(node, ast.ClassDef):
        note = rng.choice(("TODO: ", "")) + snippets.text(rng).rstrip(":")
        templates: tuple[str, ...] = (
            'Add the comment "{c_}" above {f}',
            'Add a comment "{c_}" above {f}',
            'Put the comment "{c_}" before {f}',
        )
        return Task(
            "add comment",
            phrase(rng, templates, c_=note, f=node.name),
            code.insert(node.lineno - 1, f"{pad}# {note}\n"),
        )
    if (
        isinstance(node, ast.FunctionDef)
        and not code.is_method(node)
        and rng.random() < 0.4
        and code.one_line_header(node)
    ):
        edits = code.replace_span(node.lineno, node.col_offset, node.col_offset, "async ")
        return Task(
            "make async",
            phrase(rng, ("Make {f} async", "Turn {f} into an async function", "{f} should be async"), f=node.name),
            edits,
        )
    decorator = rng.choice(
        ("staticmethod", "property", "classmethod")
        if code.is_method(node)
        else ("cache", "wraps", "app.command()", "pytest.fixture")
    )
    templates = ("Add the decorator @{d_} to {f}", "Decorate {f} with @{d_}", "Add @{d_} to {f}", "Make {f} a {d_}")[
        : 4 if "method" in decorator else 3
    ]
    return Task(
        "add decorator",
        phrase(rng, templates, d_=decorator, f=node.name),
        code.insert(node.lineno - 1, f"{pad}@{decorator}\n"),
    )
