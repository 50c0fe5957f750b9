"""JSON schemas that an answer's text is held to: checked before anything is asked of the engine. Knows no protocol."""

from __future__ import annotations

import json
from typing import Any

from dovetail.serve.api.wire import refuse
from dovetail.serve.constrain.grammar.source import prepared_schema
from dovetail.serve.types import GrammarSpec


def schema_format(schema: dict[str, Any] | bool | None, path: str, *, strict: bool) -> GrammarSpec:
    """The format that ``schema`` asks for; a 400 that names the place of what cannot be enforced.

    Args:
        path: of the schema in the request.
        strict: refuse keywords that cannot be enforced; otherwise they are left out.
    """
    if schema is None:
        refuse(path, "is required", "missing_field")
    source = json.dumps(schema, ensure_ascii=False)
    spec = GrammarSpec(kind="json_schema", source=source, param=path, lenient=not strict)
    prepared_schema(spec)
    return spec
