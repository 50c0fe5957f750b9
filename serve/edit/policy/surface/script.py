"""What a JavaScript or TypeScript module exports: its ``export`` statements, and the public members of exported classes.

``module.exports`` is not read.
"""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node, Tree

from dovetail.serve.edit.policy.matching import text_of
from dovetail.serve.edit.policy.surface.symbol import Symbol, fields, symbol

_WHOLE = frozenset({"interface_declaration", "type_alias_declaration", "enum_declaration"})
_FUNCTIONS = frozenset({"function_declaration", "generator_function_declaration", "function_signature"})
_CLASSES = frozenset({"class_declaration", "abstract_class_declaration", "class"})
_MEMBERS = frozenset({"method_definition", "public_field_definition", "field_definition", "abstract_method_signature"})


def script_surface(tree: Tree, _path: str) -> Iterator[Symbol]:
    """The module's exports, those of exported namespaces with them."""
    yield from _exports(tree.root_node, "")


def _exports(node: Node, inside: str) -> Iterator[Symbol]:
    for statement in node.named_children:
        if statement.type != "export_statement":
            continue
        default = any(child.type == "default" for child in statement.children)
        declaration = statement.child_by_field_name("declaration")
        value = statement.child_by_field_name("value")
        source = fields(statement, "source")
        if declaration is not None:
            yield from _declared(declaration, inside, "default" if default else "")
        elif value is not None:
            yield from _value(value, inside + "default")
        else:
            yield from _listed(statement, inside, source)


def _listed(statement: Node, inside: str, source: str) -> Iterator[Symbol]:
    clause = next((each for each in statement.named_children if each.type == "export_clause"), None)
    if clause is None:
        yield symbol(statement, inside + text_of(statement).rstrip("; "), "export")
        return
    for specifier in clause.named_children:
        name = fields(specifier, "alias") or fields(specifier, "name")
        if name:
            yield symbol(specifier, inside + name, "export", fields(specifier, "name"), source)


def _value(value: Node, name: str) -> Iterator[Symbol]:
    if value.type in _CLASSES:
        yield from _class(value, name)
    elif value.type in ("function_expression", "arrow_function", "generator_function"):
        yield symbol(value, name, "function", fields(value, "type_parameters", "parameters", "return_type"))
    else:
        yield symbol(value, name, "value")


def _declared(node: Node, inside: str, default: str) -> Iterator[Symbol]:
    if node.type == "ambient_declaration":
        for child in node.named_children:
            yield from _declared(child, inside, default)
        return
    name = inside + (default or fields(node, "name"))
    if node.type in _WHOLE:
        yield symbol(node, name, text_of(node))
    elif node.type in _FUNCTIONS:
        kind = "async function" if node.children and node.children[0].type == "async" else "function"
        yield symbol(node, name, kind, fields(node, "type_parameters", "parameters", "return_type"))
    elif node.type in _CLASSES:
        yield from _class(node, name)
    elif node.type == "internal_module":
        yield symbol(node, name, "namespace")
        body = node.child_by_field_name("body")
        yield from _exports(body, name + ".") if body is not None else ()
    else:
        yield from _variables(node, inside)


def _variables(node: Node, inside: str) -> Iterator[Symbol]:
    kind = text_of(node.children[0]) if node.children else ""
    for declarator in node.named_children:
        if declarator.type != "variable_declarator":
            continue
        value = declarator.child_by_field_name("value")
        shape = ""
        if value is not None and value.type in ("arrow_function", "function_expression"):
            shape = fields(value, "type_parameters", "parameter", "parameters", "return_type")
        yield symbol(declarator, inside + fields(declarator, "name"), kind, fields(declarator, "type"), shape)


def _class(node: Node, name: str) -> Iterator[Symbol]:
    heritage = " ".join(text_of(each) for each in node.named_children if each.type == "class_heritage")
    kind = "abstract class" if node.type == "abstract_class_declaration" else "class"
    yield symbol(node, name, kind, fields(node, "type_parameters"), heritage)
    body = node.child_by_field_name("body")
    for member in body.named_children if body is not None else ():
        if member.type not in _MEMBERS:
            continue
        key = member.child_by_field_name("name") or member.child_by_field_name("property")
        words = [text_of(each) for each in member.children if not each.is_named or each.type.endswith("_modifier")]
        if key is None or key.type == "private_property_identifier" or "private" in words:
            continue
        words = [word for word in words if word.isalpha() or word == "?"]
        signature = fields(member, "type", "type_parameters", "parameters", "return_type")
        yield symbol(member, f"{name}.{text_of(key)}", *words, signature)
