"""A card as a machine learning bill of materials: CycloneDX 1.6 JSON with the model card of that standard."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from dovetail.serve.govern.card.document import Card


def to_cyclonedx(card: Card, software: list[dict[str, str]]) -> dict[str, Any]:
    """``software``: every installed distribution."""
    models = [_first(card), *(_beside(each, card) for each in card.get("beside", ()))]
    references = [each["bom-ref"] for each in models]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, card['id'])}",
        "version": 1,
        "metadata": {
            "timestamp": card["generated"],
            "component": {
                "type": "application",
                "bom-ref": "dovetail",
                "name": "dovetail",
                "version": card["deployment"]["version"],
            },
            "properties": [
                {"name": "dovetail:card", "value": card["id"]},
                {"name": "dovetail:fingerprint", "value": card["fingerprint"]},
                {"name": "dovetail:stale", "value": str(card["stale"]).lower()},
            ],
        },
        "components": [*models, *map(_library, software)],
        "dependencies": [{"ref": "dovetail", "dependsOn": [*references, *(_purl(each) for each in software)]}],
    }


def _first(card: Card) -> dict[str, Any]:
    limits = [*card["limitations"], *(f"Not tested: {each}" for each in card["not_tested"])]
    return _model(card["model"], card, card["capabilities"]["measured"], limits)


def _beside(hosted: dict[str, Any], card: Card) -> dict[str, Any]:
    limits = [*card["limitations"], *(f"Not tested: {each}" for each in hosted["not_tested"])]
    component = _model(hosted["model"], card, hosted["measured"], limits)
    properties = [{"name": "dovetail:fingerprint", "value": hosted["fingerprint"]}]
    if hosted["adapter_of"] is not None:
        properties.append({"name": "dovetail:adapter-of", "value": hosted["adapter_of"]})
    return {**component, "properties": properties}


def _model(
    model: dict[str, Any], card: Card, measured: Sequence[dict[str, Any]], limits: Sequence[str]
) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model['name']}",
        "name": model["name"],
        "licenses": [{"license": {"name": model["licence"]}}],
        "modelCard": {
            "modelParameters": {
                "task": "code generation and editing",
                **({"modelArchitecture": model["architecture"]} if model["architecture"] else {}),
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
                **({"datasets": [_data(model["data_statement"])]} if model["data_statement"] else {}),
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(measured)},
            "considerations": {
                "technicalLimitations": list(limits),
                "ethicalConsiderations": [
                    {
                        "name": each["risk"],
                        "mitigationStrategy": each["mitigation"] if each["in_force"] else "switched off",
                    }
                    for each in card["risks"]
                ],
            },
        },
    }
    if model["digest"] is not None:
        component["hashes"] = [{"alg": "SHA-256", "content": model["digest"].removeprefix("sha256:")}]
    return component


def _data(statement: str) -> dict[str, Any]:
    return {"type": "dataset", "name": "training data, as the model's own card states it", "description": statement}


def _metrics(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    told = []
    for result in measured:
        for metric in result["metrics"]:
            entry: dict[str, Any] = {
                "type": f"{metric['name']} ({metric['unit']})" if metric["unit"] else metric["name"],
                "value": str(metric["value"]),
                "slice": f"{result['suite']}, n={metric['n']}",
            }
            if metric["low"] is not None:
                entry["confidenceInterval"] = {"lowerBound": str(metric["low"]), "upperBound": str(metric["high"])}
            told.append(entry)
    return told


def _library(each: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": _purl(each),
        "name": each["name"],
        "version": each["version"],
        "purl": _purl(each),
    }


def _purl(each: dict[str, str]) -> str:
    return f"pkg:pypi/{each['name']}@{each['version'].replace('+', '%2B')}"
