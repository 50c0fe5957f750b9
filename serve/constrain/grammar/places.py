"""Where in a schema llguidance's complaints come from, and schemas without what it complains of. llguidance names no place.

A subschema is tried by itself: the whole schema becomes a definition, and a reference to the place the new root.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from llguidance import LLMatcher

from dovetail.serve.constrain.grammar.lark import json_options
from dovetail.serve.constrain.grammar.limits import PARSER_LIMITS
from dovetail.serve.constrain.grammar.schema import Pointer, Prepared, shown

_SECONDS = 1.0
"""How long a place is looked for, in the order of depth."""

_MAX_LOOSENED = 40
_INSIDE = "/$defs/all"
_REFERENCE = re.compile(r"#(?=/|$)")
_TRIMMINGS = re.compile(r"<state>|<non-verbose/>|\n  while processing| Enable '")
_STRUCTURE = ("type", "properties", "items", "anyOf", "$defs", "definitions")
"""Keywords that are given up last."""


def complaint(grammar: str) -> str:
    """What llguidance has against a grammar, without its state and advice that no client can follow; nothing if it is fine."""
    failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, limits=PARSER_LIMITS)
    return trimmed(messages[0]) if failed else ""


def trimmed(message: str) -> str:
    """A complaint without the matcher's state, the references it was met behind, and such advice."""
    return _TRIMMINGS.split(message, maxsplit=1)[0].strip()


def located(prepared: Prepared, message: str) -> Pointer:
    """The innermost subschema that gives rise to ``message`` by itself; the root where none does."""
    inside = json.loads(json.dumps(prepared.schema), object_hook=_moved)
    deadline = time.monotonic() + _SECONDS
    for place in sorted(filter(None, prepared.places), key=len, reverse=True):
        if time.monotonic() > deadline:
            break
        probe = {"$defs": {"all": inside}, "$ref": f"#{_INSIDE}{shown(place)[1:]}"}
        if _complaint(probe).replace(_INSIDE, "") == message:
            return place
    return ()


def loosen(prepared: Prepared) -> None:
    """Take out of the schema whatever llguidance complains of, and add it to what is unsupported."""
    for _ in range(_MAX_LOOSENED):
        message = _complaint(prepared.schema)
        if not message:
            return
        place = located(prepared, message)
        node: Any = prepared.schema
        for step in place:
            node = node[step]
        key = _culprit(prepared.schema, node, message)
        if key is None:
            node.clear()
        prepared.unsupported.append((shown(place if key is None else (*place, key)), message))


def _culprit(schema: dict[str, Any], node: dict[str, Any], message: str) -> str | None:
    """The keyword of ``node`` without which the complaint is another one, or none; it stays out."""
    kept = dict(node)
    for key in sorted(kept, key=lambda key: key in _STRUCTURE):
        del node[key]
        if _complaint(schema) != message:
            if key == "oneOf" and "anyOf" not in node:
                node["anyOf"] = kept[key]  # less than was asked for, and more than nothing
            return key
        node.clear()
        node.update(kept)
    return None


def _complaint(schema: dict[str, Any]) -> str:
    text = json.dumps(schema, ensure_ascii=False)
    return complaint(LLMatcher.grammar_from_json_schema(text, overrides=json_options("compact")))  # type: ignore[arg-type]


def _moved(node: dict[str, Any]) -> dict[str, Any]:
    """References from the root, once the root is one level further in."""
    if isinstance(node.get("$ref"), str):
        node["$ref"] = _REFERENCE.sub(f"#{_INSIDE}", node["$ref"], count=1)
    return node
