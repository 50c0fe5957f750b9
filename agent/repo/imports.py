"""Imports as the structure queries capture them, one record for each name that they bring in. Resolves nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from dovetail.agent.repo.facts import Import

Captures = dict[str, list[Node]]

_STRING = re.compile(r"""(["'])((?:\\.|(?!\1).)*)\1""")


def read_import(content: bytes, captures: Captures) -> Iterator[Import]:
    """What one match of an ``@import`` pattern brings in."""
    line = captures["import"][0].start_point[0] + 1
    if "tree" in captures:
        yield from _rust_tree(content, captures["tree"][0], (), line)
        return
    if "submodule" in captures:
        name = _text(content, captures["submodule"][0])
        yield Import(line, f"mod {name}", "", name)
        return
    if "file" in captures:
        strings = _STRING.findall(_text(content, captures["file"][0]))
        if strings:
            yield Import(line, "./" + strings[-1][1].lstrip("/"), "", "")
        return
    module = _module(content, captures)
    if "default" in captures:
        yield Import(line, module, "default", _text(content, captures["default"][0]))
    elif "namespace" in captures:
        yield Import(line, module, "", _text(content, captures["namespace"][0]))
    elif "imported" in captures:
        alias = captures.get("alias")
        for node in captures["imported"]:
            name = "*" if node.type in {"wildcard_import", "asterisk", "dot", "*"} else _text(content, node).lstrip(":")
            yield Import(line, module, name, "" if name == "*" else _text(content, alias[0]) if alias else name)
    else:
        yield Import(line, module, "", _text(content, captures["alias"][0]) if "alias" in captures else "")


def _module(content: bytes, captures: Captures) -> str:
    text = _text(content, captures["module"][0])
    if text[:1] in {'"', "'", "`"}:
        text = text[1:-1]
    if "relative" in captures:
        text = "./" + text
    if "prefix" in captures:
        text = f"{_text(content, captures['prefix'][0])}\\{text}"
    return re.sub(r"\s+", "", text)


def _rust_tree(content: bytes, node: Node, prefix: tuple[str, ...], line: int) -> Iterator[Import]:
    """The names of a ``use`` tree. Groups nest; what nests deeper than 50 is no source that people write."""
    if len(prefix) > 50:
        return
    path = node.child_by_field_name("path")
    below = (*prefix, *_rust_path(content, path)) if path is not None else prefix
    if node.type == "scoped_use_list":
        group = node.child_by_field_name("list")
        for child in group.named_children if group is not None else ():
            yield from _rust_tree(content, child, below, line)
    elif node.type == "use_list":
        for child in node.named_children:
            yield from _rust_tree(content, child, prefix, line)
    elif node.type == "use_wildcard":
        inside = (*prefix, *(_rust_path(content, node.named_children[0]) if node.named_children else ()))
        yield Import(line, "::".join(inside), "*", "")
    elif node.type == "use_as_clause" and path is not None:
        alias = node.child_by_field_name("alias")
        yield _rust_leaf(below, line, _text(content, alias) if alias is not None else "")
    elif node.type == "self":
        yield _rust_leaf(prefix, line, "")
    elif node.type in {"scoped_identifier", "identifier", "crate", "super"}:
        yield _rust_leaf((*prefix, *_rust_path(content, node)), line, "")


def _rust_path(content: bytes, node: Node) -> tuple[str, ...]:
    return tuple(part for part in re.sub(r"\s+", "", _text(content, node)).split("::") if part)


def _rust_leaf(path: tuple[str, ...], line: int, alias: str) -> Import:
    return Import(line, "::".join(path[:-1]), path[-1] if path else "", alias or (path[-1] if path else ""))


def _text(content: bytes, node: Node) -> str:
    return content[node.start_byte : node.end_byte].decode("utf-8", "replace")
