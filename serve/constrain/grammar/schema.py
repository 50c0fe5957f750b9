"""JSON schemas before llguidance reads them: what it cannot enforce is found by path, what means nothing is left out.

Follows ``$ref`` as llguidance does, so that definitions nobody points to are not held against a schema.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from dovetail.serve.constrain.grammar.limits import MAX_DEFINITIONS, MAX_DEPTH, MAX_MULTIPLE

Pointer = tuple[str | int, ...]
"""Where in a schema: the keys and indexes from its root."""

_ONE = ("additionalProperties", "items", "additionalItems")
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED = ("properties", "patternProperties")
_DEFINITIONS = ("$defs", "definitions")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown")
)
_FORMATS_BEYOND = frozenset(
    [
        "uri-reference",
        "uri-template",
        "iri",
        "iri-reference",
        "idn-email",
        "idn-hostname",
        "json-pointer",
        "relative-json-pointer",
        "regex",
    ]
)
"""Formats of the standard that llguidance does not know. Any other name is an annotation."""

_NEVER = ("not", "$dynamicRef", "$recursiveRef", "contains")


class SchemaError(ValueError):
    """A schema that cannot be used; the message begins with where."""


@dataclass
class Prepared:
    """A schema as llguidance gets it. ``unsupported``: what is not in it any more, as JSON pointers with a reason each;
    ``places``: every subschema that takes part, outermost first."""

    schema: dict[str, Any]
    unsupported: list[tuple[str, str]] = field(default_factory=list)
    places: list[Pointer] = field(default_factory=list)


def shown(pointer: Pointer) -> str:
    """A JSON pointer as fragment: ``#/properties/a``."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in pointer)
    return "#" + "".join(f"/{part}" for part in parts)


def prepare(source: str) -> Prepared:
    """The schema in ``source`` (JSON text).

    Raises:
        SchemaError: it is no JSON object or boolean, is ``false``, is nested or referring too deeply, or holds what no strict
            JSON can: NaN, numbers beyond 64 bits of floating point, half a surrogate pair.
    """
    try:
        schema = json.loads(source, parse_constant=_refuse_number, parse_float=_finite, parse_int=_finite_whole)
    except RecursionError as error:
        raise SchemaError(f"#: nested more than {MAX_DEPTH} levels deep") from error
    except SchemaError:
        raise
    except ValueError as error:
        raise SchemaError(f"#: is not valid JSON: {error}") from error
    if schema is False:
        raise SchemaError("#: false allows no value at all")
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise SchemaError("#: a schema must be an object or a boolean")
    _refuse_depth(schema)
    if "\\" in source and _LONE_SURROGATE.search(json.dumps(schema, ensure_ascii=False)):
        raise SchemaError("#: holds half a surrogate pair, which is no character")
    schema.pop("x-guidance", None)
    return _walked(schema)


def _refuse_number(text: str) -> NoReturn:
    shown_text = text if len(text) < 40 else f"{text[:20]}... ({len(text)} characters)"
    raise SchemaError(f"#: {shown_text} is no JSON number, or none that fits 64 bits of floating point")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _finite_whole(text: str) -> int:
    _finite(text)
    return int(text)


def _refuse_depth(schema: dict[str, Any]) -> None:
    level: list[tuple[Pointer, Any]] = [((), schema)]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise SchemaError(f"{shown(level[0][0])}: nested more than {MAX_DEPTH} levels deep")
        level = [
            ((*pointer, key), item)
            for pointer, value in level
            for key, item in (value.items() if isinstance(value, dict) else enumerate(value))
            if isinstance(item, dict | list)
        ]


def _walked(schema: dict[str, Any]) -> Prepared:
    prepared = Prepared(schema)
    pending: deque[tuple[Pointer, Any]] = deque([((), schema)])
    seen = {id(schema)}
    definitions = 0
    while pending:
        pointer, node = pending.popleft()
        prepared.places.append(pointer)
        prepared.unsupported += [(shown((*pointer, key)), why) for key, why in _cleaned(node)]
        following = [((*pointer, *step), child) for step, child in _children(node)]
        reference = node.get("$ref")
        if isinstance(reference, str):
            targets = list(_targets(schema, reference))
            definitions += sum(id(target) not in seen for _, target in targets)
            following += targets
        if definitions > MAX_DEFINITIONS:
            raise SchemaError(f"{shown(pointer)}: more than {MAX_DEFINITIONS} definitions are referred to")
        for place, child in following:
            if isinstance(child, dict) and id(child) not in seen:
                seen.add(id(child))
                pending.append((place, child))
    return prepared


def _children(node: dict[str, Any]) -> Iterator[tuple[Pointer, Any]]:
    for key in _ONE:
        if isinstance(node.get(key), dict):
            yield (key,), node[key]
    for key in _SEVERAL:
        if isinstance(node.get(key), list):
            yield from (((key, index), child) for index, child in enumerate(node[key]))
    for key in _NAMED:
        if isinstance(node.get(key), dict):
            yield from (((key, name), child) for name, child in node[key].items())


def _targets(schema: dict[str, Any], reference: str) -> Iterator[tuple[Pointer, Any]]:
    """What a reference points to; every definition, where it is no plain pointer."""
    if reference == "#":
        return
    if reference.startswith("#/"):
        node: Any = schema
        pointer: Pointer = ()
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            key: str | int = int(name) if isinstance(node, list) and name.isdecimal() else name
            try:
                node = node[key]
            except (LookupError, TypeError):
                break
            pointer = (*pointer, key)
        else:
            yield pointer, node
            return
    for key in _DEFINITIONS:
        named = schema.get(key)
        if isinstance(named, dict):
            yield from (((key, name), child) for name, child in named.items())


def _cleaned(node: dict[str, Any]) -> list[tuple[str, str]]:
    """Take out of ``node`` what llguidance does not know; returns the keywords of it that would have meant something."""
    if isinstance(node.get("exclusiveMinimum"), bool) or isinstance(node.get("exclusiveMaximum"), bool):
        _as_in_draft_6(node)
    found: list[tuple[str, str]] = []
    for key, why in _judged(node):
        node.pop(key, None)
        if why:
            found.append((key, why))
    return found


def _as_in_draft_6(node: dict[str, Any]) -> None:
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if node.get(exclusive) is True and bound in node:
            node[exclusive] = node.pop(bound)
        elif isinstance(node.get(exclusive), bool):
            del node[exclusive]


def _judged(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The keywords to take out, each with why it is missed; nothing where it says nothing."""
    yield from ((key, "is not supported") for key in _NEVER if key in node)
    conditional = "if" in node and ("then" in node or "else" in node)
    yield from ((key, "is not supported" if conditional else "") for key in ("if", "then", "else") if key in node)
    if "uniqueItems" in node:
        one = isinstance(node.get("maxItems"), int) and node["maxItems"] <= 1
        yield "uniqueItems", "" if node["uniqueItems"] is False or one else "is not supported"
    yield from ((key, "") for key in ("minContains", "maxContains") if key in node)
    for key in ("dependentRequired", "dependentSchemas", "dependencies"):
        if key in node:
            yield key, "is not supported" if node[key] else ""
    for key in ("unevaluatedProperties", "unevaluatedItems"):
        if key in node:
            yield key, "is not supported" if node[key] is not True and node[key] != {} else ""
    if "propertyNames" in node:
        yield "propertyNames", "" if node["propertyNames"] in (True, {}, {"type": "string"}) else "is not supported"
    yield from _format(node)
    yield from _properties_count(node)
    multiple = node.get("multipleOf")
    if isinstance(multiple, int | float) and multiple > MAX_MULTIPLE:
        yield "multipleOf", f"may be at most {MAX_MULTIPLE} here"


def _format(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """``format`` is an annotation unless it is one of the standard's own for strings."""
    name = node.get("format")
    if "format" in node and name not in _FORMATS:
        yield "format", f"{name!r} is not supported" if name in _FORMATS_BEYOND else ""


def _properties_count(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """``minProperties`` over names that nobody keeps apart cannot be promised: the same name may come twice."""
    least = node.get("minProperties")
    if not isinstance(least, int) or isinstance(least, bool):
        return
    required = node.get("required")
    if isinstance(required, list) and len({str(name) for name in required}) >= least:
        yield "minProperties", ""
    elif least > 1 and (node.get("additionalProperties") is not False or node.get("patternProperties")):
        yield "minProperties", "above 1 needs additionalProperties: false or as many required names"
