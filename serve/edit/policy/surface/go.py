"""What a Go file exports: capitalised functions, methods, types with their capitalised fields, variables and constants."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node, Tree

from dovetail.serve.edit.policy.matching import text_of
from dovetail.serve.edit.policy.surface.symbol import Symbol, fields, symbol

_LISTS = frozenset({"var_spec_list", "type_declaration", "var_declaration", "const_declaration"})


def go_surface(tree: Tree, _path: str) -> Iterator[Symbol]:
    """The file's exports."""
    for each in _declared(tree.root_node):
        if all(part[:1].isupper() for part in each.name.split(".")):
            yield each


def _declared(node: Node) -> Iterator[Symbol]:
    for child in node.named_children:
        if child.type in _LISTS:
            yield from _declared(child)
        elif child.type == "function_declaration":
            yield symbol(child, fields(child, "name"), "func", fields(child, "type_parameters", "parameters", "result"))
        elif child.type == "method_declaration":
            yield _method(child)
        elif child.type in ("type_spec", "type_alias"):
            yield from _type(child)
        elif child.type in ("var_spec", "const_spec"):
            for name in child.children_by_field_name("name"):
                if name.type == "identifier":
                    yield symbol(child, text_of(name), node.type.partition("_")[0], fields(child, "type"))


def _method(node: Node) -> Symbol:
    receiver = node.child_by_field_name("receiver")
    of = next((fields(each, "type") for each in receiver.named_children), "") if receiver is not None else ""
    base = of.lstrip("*").partition("[")[0].strip()
    return symbol(
        node,
        f"{base}.{fields(node, 'name')}",
        "func",
        "*" if of[:1] == "*" else "",
        fields(node, "parameters", "result"),
    )


def _type(node: Node) -> Iterator[Symbol]:
    name, made = fields(node, "name"), node.child_by_field_name("type")
    if made is None or made.type != "struct_type":
        alias = "=" if node.type == "type_alias" else ""
        yield symbol(node, name, "type", fields(node, "type_parameters"), alias, fields(node, "type"))
        return
    yield symbol(node, name, "type", fields(node, "type_parameters"), "struct")
    for members in made.named_children:
        for member in members.named_children:
            if member.type != "field_declaration":
                continue
            kind = fields(member, "type")
            names = [text_of(each) for each in member.children_by_field_name("name")]
            for each in names or [kind.lstrip("*").rpartition(".")[2].partition("[")[0]]:
                yield symbol(member, f"{name}.{each}", kind, fields(member, "tag"))
