"""What dialects that write values without JSON must know of a tool's schema: which values are text. Validates nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_DEFINITIONS = ("$defs", "definitions")
_MOST_STEPS = 16


def properties_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The named parameters, each with its schema; references at their head are followed."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: _resolved(value, schema) for name, value in properties.items()}


def is_text(schema: Any) -> bool:
    """Whether values of ``schema`` are written as they are: strings, and what the schema says nothing of."""
    if not isinstance(schema, dict):
        return True
    kinds = schema.get("type")
    if kinds is None:
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(options, list) and options:
            return any(isinstance(option, dict) and is_text(option) for option in options)
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        return not isinstance(values, list) or not values or any(isinstance(value, str) for value in values)
    return "string" in kinds if isinstance(kinds, list) else kinds == "string"


def standing_alone(schema: dict[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's schema taken out of the ``whole``: with the definitions it refers to; if it refers to more, anything."""
    references = re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema))
    if not references:
        return schema
    definitions = {key: whole[key] for key in _DEFINITIONS if key in whole}
    if all(reference.startswith(tuple(f"#/{key}/" for key in definitions)) for reference in references):
        return {**definitions, **schema}
    return {}


def _resolved(schema: Any, whole: Mapping[str, Any]) -> Any:
    """``schema``, or what its ``$ref`` leads to in ``whole``."""
    for _ in range(_MOST_STEPS):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        target: Any = whole
        for step in reference[2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            target = target.get(step) if isinstance(target, dict) else None
        if target is None:
            return schema
        schema = target
    return {}
