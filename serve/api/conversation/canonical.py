"""One form of a tool call's arguments, however a client wrote them back: so that a turn's prompt stays the same, and cached.

Clients change the spacing, put schema defaults in, and move keys. Knows no protocol.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def canonical_arguments(text: str, schema: Mapping[str, Any] | None = None) -> str:
    """``text`` with keys in the order of ``schema``, without values that are its defaults; as it is, if it is no JSON object."""
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            return json.dumps(_ordered(value, schema or {}), ensure_ascii=False)
    except (ValueError, RecursionError):
        pass  # what a model once said, verbatim
    return text


def _ordered(value: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return value
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    kept = {key: each for key, each in value.items() if key in needed or not _is_default(each, properties.get(key))}
    first = [key for key in properties if key in kept]
    return {key: kept[key] for key in [*first, *(key for key in kept if key not in properties)]}


def _is_default(value: Any, schema: Any) -> bool:
    if not isinstance(schema, dict) or "default" not in schema:
        return False
    default = schema["default"]
    return type(default) is type(value) and bool(default == value)
