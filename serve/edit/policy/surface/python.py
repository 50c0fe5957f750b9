"""What a Python module exports: public names at the top level, those of ``__all__`` where it is a plain list, and the public
methods and attributes of public classes. What it imports from elsewhere is exported by ``__init__.py``, by ``__all__`` and by
``import x as x``. Names made at run time are not seen.
"""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node, Tree

from dovetail.serve.edit.policy.matching import text_of
from dovetail.serve.edit.policy.surface.symbol import Symbol, fields, symbol

_COMPOUND = frozenset(
    {
        "if_statement",
        "elif_clause",
        "else_clause",
        "try_statement",
        "except_clause",
        "finally_clause",
        "with_statement",
        "block",
    }
)
_IMPORTED, _EXPORTED_AGAIN = "import", "import as itself"


def python_surface(tree: Tree, path: str) -> Iterator[Symbol]:
    """The exports of the module at ``path``."""
    listed = _all(tree.root_node)
    package = path.rpartition("/")[2] in ("__init__.py", "__init__.pyi")
    for each in _definitions(tree.root_node, ""):
        top, _, inner = each.name.partition(".")
        exported = top in listed if listed is not None else _public(top) and (package or each.signature != _IMPORTED)
        if exported and (not inner or all(_public(part) for part in inner.split("."))):
            yield each


def _definitions(node: Node, inside: str) -> Iterator[Symbol]:
    for child in node.named_children:
        if child.type in _COMPOUND:
            yield from _definitions(child, inside)
        elif child.type == "decorated_definition":
            decorators = " ".join(text_of(each) for each in child.named_children if each.type == "decorator")
            definition = child.child_by_field_name("definition")
            if definition is not None:
                yield from _definition(definition, inside, decorators)
        elif child.type in ("function_definition", "class_definition"):
            yield from _definition(child, inside, "")
        elif child.type == "expression_statement":
            yield from _assigned(child, inside)
        elif child.type == "type_alias_statement":
            yield symbol(child, inside + fields(child, "left").partition("[")[0], text_of(child))
        elif child.type == "import_from_statement" and not inside:
            for name in child.children_by_field_name("name"):
                original, alias = fields(name, "name") or text_of(name), fields(name, "alias")
                yield symbol(child, alias or original, _IMPORTED if alias != original else _EXPORTED_AGAIN)


def _definition(node: Node, inside: str, decorators: str) -> Iterator[Symbol]:
    name = inside + fields(node, "name")
    if node.type == "function_definition":
        kind = "async def" if node.children and node.children[0].type == "async" else "def"
        yield symbol(node, name, decorators, kind, fields(node, "type_parameters", "parameters", "return_type"))
        return
    yield symbol(node, name, decorators, "class", fields(node, "type_parameters", "superclasses"))
    body = node.child_by_field_name("body")
    if body is not None:
        yield from _definitions(body, name + ".")


def _assigned(statement: Node, inside: str) -> Iterator[Symbol]:
    for assignment in statement.named_children:
        if assignment.type != "assignment":
            continue
        left, annotation = assignment.child_by_field_name("left"), fields(assignment, "type")
        for name in [left, *left.named_children] if left is not None else ():
            if name.type == "identifier":
                yield symbol(assignment, inside + text_of(name), "name", annotation)


def _all(root: Node) -> frozenset[str] | None:
    """The names in ``__all__``; None if there is none, or it is no plain list of strings."""
    found: set[str] | None = None
    for statement in root.named_children:
        for each in statement.named_children if statement.type == "expression_statement" else ():
            if each.type not in ("assignment", "augmented_assignment") or fields(each, "left") != "__all__":
                continue
            right = each.child_by_field_name("right")
            if right is None or right.type not in ("list", "tuple"):
                return None
            names = {text_of(item).strip("\"'") for item in right.named_children if item.type == "string"}
            found = names if found is None or each.type == "assignment" else found | names
    return frozenset(found) if found is not None else None


def _public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__") and name != "__all__")
