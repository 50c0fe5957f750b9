"""The published JSON schema of a card (draft 2020-12), for whoever checks one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_MAYBE_COUNT = {"type": ["integer", "null"], "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}
_NUMBER_OR_NONE = {"type": ["number", "null"]}
_DIGEST = {"type": ["string", "null"], "pattern": "^sha256:[0-9a-f]{64}$"}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _each(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(properties)}


_METRIC = {
    "name": _TEXT,
    "value": {"type": "number"},
    "n": {"type": "integer", "minimum": 0},
    "unit": _TEXT,
    "low": _NUMBER_OR_NONE,
    "high": _NUMBER_OR_NONE,
    "about": _TEXT,
}
_MEASURED = {
    "suite": _TEXT,
    "about": _TEXT,
    "suite_digest": _TEXT,
    "seed": {"type": "integer"},
    "finished": _TEXT,
    "command": _TEXT,
    "metrics": _each(_METRIC),
}
_LOSS = {
    "bits_per_byte": {"type": "number"},
    "of": _TEXT,
    "its_bits_per_byte": {"type": "number"},
    "ratio": {"type": "number"},
}
_GUARANTEE = {
    "id": _TEXT,
    "statement": _TEXT,
    "in_force": {"type": "boolean"},
    "enforced": {"enum": ["by construction", "by check", "by test"]},
    "how": _TEXT,
    "evidence": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": r"^tests/.+\.py::test_\w+$"}},
}
_RISK = {"risk": _TEXT, "mitigation": _TEXT, "in_force": {"type": "boolean"}, "left": _TEXT}
_DEPLOYMENT = {
    "server": {"const": "dovetail"},
    "version": _TEXT,
    "engine": _TEXT,
    "software": _each({"name": _TEXT, "version": _TEXT}),
    "software_digest": _DIGEST,
    "hardware": _object(
        {"processor": _TEXT, "cores": {"type": "integer"}, "memory_bytes": {"type": "integer"}, "system": _TEXT}
    ),
    "configuration_digest": _DIGEST,
    "configuration": {"type": "object", "additionalProperties": _TEXT},
    "policy_digest": _MAYBE_TEXT,
    "switched_on": _TEXTS,
}
_MODEL = {
    "name": _TEXT,
    "digest": _DIGEST,
    "signature": _TEXT,
    "licence": _TEXT,
    "context_length": {"type": "integer", "minimum": 1},
    "architecture": _MAYBE_TEXT,
    "parameters": _MAYBE_COUNT,
    "weight_bytes": _MAYBE_COUNT,
    "stored_as": _MAYBE_TEXT,
    "data_statement": _MAYBE_TEXT,
}
_QUANTISATION = {"kind": _TEXT, "loss": {"anyOf": [{"type": "null"}, _object(_LOSS)]}}
_FINGERPRINT = {"type": "string", "pattern": "^fp_[0-9a-f]{12}$"}
_BESIDE = {
    "fingerprint": _FINGERPRINT,
    "adapter_of": _MAYBE_TEXT,
    "model": _object(_MODEL),
    "offered": _TEXTS,
    "measured": _each(_MEASURED),
    "quantisation": _object(_QUANTISATION),
    "not_tested": _TEXTS,
}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Dovetail system card",
    **_object(
        {
            "object": {"const": "system_card"},
            "version": {"const": 2},
            "id": {"type": "string", "pattern": "^card_[0-9a-f]{24}$"},
            "fingerprint": _FINGERPRINT,
            "generated": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
            "stale": {"type": "boolean"},
            "stale_because": _TEXTS,
            "model": _object(_MODEL),
            "deployment": _object(_DEPLOYMENT),
            "capabilities": _object(
                {
                    "offered": _TEXTS,
                    "measured": _each(_MEASURED),
                    "of_other_configurations": {"type": "integer", "minimum": 0},
                }
            ),
            "quantisation": _object(_QUANTISATION),
            "beside": _each(_BESIDE),
            "guarantees": _each(_GUARANTEE),
            "limitations": _TEXTS,
            "risks": _each(_RISK),
            "constraints": _TEXTS,
            "not_tested": _TEXTS,
        }
    ),
}
