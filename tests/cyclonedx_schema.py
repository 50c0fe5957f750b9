"""CycloneDX 1.6's own schema, read from the package that carries it: nothing is fetched."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from jsonschema import Draft7Validator
from referencing import Registry, Resource


def bill_validator() -> Draft7Validator:
    """Finds what is wrong with a bill of materials."""
    schemas = resources.files("cyclonedx.schema") / "_res"

    def read(name: str) -> dict[str, Any]:
        return json.loads((schemas / f"{name}.SNAPSHOT.schema.json").read_text())

    parts = [read(name) for name in ("bom-1.6", "spdx", "jsf-0.82")]
    registry = Registry().with_resources([(part["$id"], Resource.from_contents(part)) for part in parts])
    return Draft7Validator(parts[0], registry=registry)
