"""The bill of materials of a bundle, as CycloneDX 1.6 JSON, from what its wheels say of themselves."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from dovetail.serve.govern.airgap.wheels import Wheel


def bill_of_materials(wheels: list[Wheel], project: str) -> dict[str, Any]:
    """``project`` is what the bill is of; every other wheel is a component."""
    main = next(wheel for wheel in wheels if wheel.name == project)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**_component(main), "type": "application"},
        },
        "components": [_component(wheel) for wheel in wheels if wheel.name != project],
        "dependencies": [
            {"ref": _purl(wheel), "dependsOn": [_purl(each) for each in wheels if each.name in wheel.needs]}
            for wheel in wheels
        ],
    }


def _component(wheel: Wheel) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": _purl(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "description": wheel.summary,
        "purl": _purl(wheel),
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "licenses": [{"license": {"name": wheel.licence}}],
        "properties": [{"name": "dovetail:file", "value": wheel.file}],
    }


def _purl(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{wheel.version.replace('+', '%2B')}"
