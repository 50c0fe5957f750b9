"""Whether a value comes from a request: written where it is used, or given a name before, in the same function.

Backs the predicate ``#from?`` of queries. Follows plain assignments and what passes text on (``+``, f-strings, ``str``, ``join``), as
far as the function; a name that was compared with something or handed to a check in between is taken to be in order. Knows no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from tree_sitter import Node

FROM = "from?"
_FUNCTIONS = frozenset(
    {"function_definition", "lambda", "function_declaration", "function_expression", "arrow_function"}
    | {"method_definition", "generator_function_declaration", "generator_function"}
)
_CALLS = frozenset({"call", "call_expression"})
_MEMBERS = frozenset({"attribute", "member_expression", "subscript", "subscript_expression"})
_NAMES = frozenset({"identifier", "shorthand_property_identifier_pattern"})
_CONDITIONS = frozenset({"if_statement", "elif_clause", "while_statement", "assert_statement", "ternary_expression"})
_ANSWERS = frozenset({"comparison_operator", "not_operator", "unary_expression"})
"""What asks something of a value: the answer is no longer the value."""
_JOINING = frozenset({"+", "||", "??", "&&"})
_OWN = frozenset({"get", "strip", "trim", "encode", "decode", "lower", "toString", "format", "concat"})
"""Methods whose result holds the value that they are of."""
_PASSING = frozenset({"str", "join", "format", "concat", "String", "resolve", "Path"})
"""Functions and methods whose result holds their arguments."""
_NOTHING = re.compile(r"\b(None|null|undefined)\b|''|\"\"")
_ASKED = re.compile(r'#from\?\s+@[\w.-]+\s+"((?:[^"\\]|\\.)*)"\s*\)')
_DEEP = 60
"""Levels of an expression, and of names given to names, that are followed."""


class _Assigned(NamedTuple):
    """A name is given a value, which begins at ``at``."""

    at: int
    value: Node


class Origins:
    """The origins of values in one tree. Finds assignments once per function."""

    def __init__(self) -> None:
        self._assigned: dict[int, dict[bytes, list[_Assigned]]] = {}
        self._checked: dict[int, dict[bytes, list[int]]] = {}
        self._known: dict[tuple[int, int, str], bool] = {}

    def predicate(
        self,
        predicate: str,
        args: list[tuple[str, Literal["capture", "string"]]],
        pattern_index: int,
        captures: dict[str, list[Node]],
    ) -> bool:
        """As tree-sitter asks for it: ``(#from? @node "regular expression of sources")``; other predicates hold."""
        if predicate != FROM:
            return True
        sources = _compiled(args[1][0])
        return any(self.holds(node, sources) for node in captures.get(args[0][0], ()))

    def holds(self, node: Node, sources: re.Pattern[str]) -> bool:
        """Whether the text of the node has a source, or carries one by name."""
        return sources.search(_text(node)) is not None or self._carries(node, sources, _DEEP)

    def _carries(self, node: Node, sources: re.Pattern[str], deep: int) -> bool:
        if deep == 0 or node.type in _FUNCTIONS or node.type in _ANSWERS:
            return False
        if node.type in _NAMES:
            return self._given(node, sources, deep - 1)
        if node.type in _CALLS:
            return self._called(node, sources, deep - 1)
        if node.type in _MEMBERS:
            own, text = node.child_by_field_name("object") or node.child_by_field_name("value"), _text(node)
            # What an index is, is not what is found by it: ``FILES[request.args["name"]]``.
            plain = "[" not in text and "(" not in text
            return (plain and sources.search(text) is not None) or (
                own is not None and self._carries(own, sources, deep - 1)
            )
        operator = node.child_by_field_name("operator") if node.type == "binary_expression" else None
        if node.type == "keyword_argument" or (operator is not None and _text(operator) not in _JOINING):
            return False
        return any(self._carries(child, sources, deep - 1) for child in node.named_children)

    def _called(self, call: Node, sources: re.Pattern[str], deep: int) -> bool:
        function = call.child_by_field_name("function")
        if function is None:
            return False
        called, name = _text(function) + "(", _last_name(function)
        # Where the sources name a call, such as ``searchParams.get(``, its result is one.
        if any(found.end() == len(called) for found in sources.finditer(called)):
            return True
        own = function.child_by_field_name("object") if name in _OWN else None
        arguments = call.child_by_field_name("arguments") if name in _PASSING else None
        return any(each is not None and self._carries(each, sources, deep) for each in (own, arguments))

    def _given(self, name: Node, sources: re.Pattern[str], deep: int) -> bool:
        function = _function_of(name)
        text, use = name.text or b"", name.start_byte
        before = [each for each in self._assignments(function).get(text, ()) if each.value.end_byte <= use]
        if not before:
            return False
        last = max(before, key=lambda each: each.at)
        if any(last.at < at < use for at in self._checks(function).get(text, ())):
            return False
        key = last.value.start_byte, last.value.end_byte, sources.pattern
        if key not in self._known:
            self._known[key] = self._carries(last.value, sources, deep)
        return self._known[key]

    def _assignments(self, function: Node) -> dict[bytes, list[_Assigned]]:
        found = self._assigned.get(function.id)
        if found is None:
            found = self._assigned[function.id] = {}
            for node in _within(function):
                for name, value in _pairs(node):
                    found.setdefault(name.text or b"", []).append(_Assigned(value.start_byte, value))
        return found

    def _checks(self, function: Node) -> dict[bytes, list[int]]:
        found = self._checked.get(function.id)
        if found is None:
            found = self._checked[function.id] = {}
            for node in _within(function):
                condition = node.child_by_field_name("condition") if node.type in _CONDITIONS else None
                if node.type == "assert_statement" and node.named_children:
                    condition = node.named_children[0]
                for name in _tested(condition) if condition is not None else ():
                    found.setdefault(name.text or b"", []).append(name.start_byte)
        return found


def unreadable(query: str) -> Iterator[str]:
    """What is wrong with the sources that a query names."""
    asked = _ASKED.findall(query)
    if query.count(f"#{FROM}") != len(asked):
        yield "it takes a capture and a regular expression"
    for quoted in asked:
        try:
            re.compile(re.sub(r"\\(.)", r"\1", quoted))
        except re.error as error:
            yield f"{quoted!r} is no regular expression: {error}"


def _pairs(node: Node) -> Iterator[tuple[Node, Node]]:
    """Names that the node gives a value, with it; of a JavaScript object taken apart, each name with the whole."""
    if node.type in ("assignment", "assignment_expression"):
        target, value = node.child_by_field_name("left"), node.child_by_field_name("right")
    elif node.type in ("variable_declarator", "named_expression"):
        target, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    else:
        return
    if target is None or value is None:
        return
    if target.type in _NAMES:
        yield target, value
    elif target.type == "object_pattern":
        yield from ((name, value) for name in target.named_children if name.type in _NAMES)


def _tested(condition: Node) -> Iterator[Node]:
    """Names that a condition compares or hands to a function; whether they are there at all is no test."""
    for node in _within(condition):
        if node.type in _NAMES and node.id != condition.id:
            parent = node.parent
            while (
                parent is not None and parent.id != condition.id and parent.type in ("not_operator", "unary_expression")
            ):
                parent = parent.parent
            plain = parent is None or parent.type in ("parenthesized_expression", "boolean_operator", "not_operator")
            if not plain and parent is not None and _NOTHING.search(_text(parent)) is None:
                yield node


def _within(top: Node) -> Iterator[Node]:
    """The nodes of a function but those of functions in it."""
    waiting = [top]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in node.named_children if child.type not in _FUNCTIONS]


def _function_of(node: Node) -> Node:
    """The innermost function that holds the node, or the whole text."""
    while node.parent is not None:
        node = node.parent
        if node.type in _FUNCTIONS:
            break
    return node


def _last_name(function: Node) -> str:
    return _text(function).rpartition(".")[2]


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
