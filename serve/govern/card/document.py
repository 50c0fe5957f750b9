"""Puts a card together from facts, measurements and statements. No figure in it is typed by hand; what was not measured says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dovetail.serve.govern.card.evaluations import Evaluation, latest
from dovetail.serve.govern.card.facts import Facts, data_statement, hardware, shown_software, software
from dovetail.serve.govern.card.hosting import Hosting, Loaded
from dovetail.serve.govern.card.statements import Control, statements

Card = dict[str, Any]

VERSION = 2
FEW_SAMPLES = 30
"""With fewer, a suite counts as not tested, beside the figures that it gave."""
SUITES: Mapping[str, str] = {
    "edits": "Instructed edits: they apply, parse, and are what was asked for.",
    "infill": "Single lines filled in between what is before and behind them.",
    "syntax": "Code written without any constraint that parses.",
    "prediction": "How well the model predicts source text; what quantisation costs shows here.",
    "latency": "Time to the first token, between tokens, and tokens per second.",
    "debugging": "Mistakes put into functions and mended by dovetail agent --fix.",
    "refactors": "Renames and moves by dovetail agent: tests hold, and all else is as it was.",
}
"""The suites that ``dovetail eval`` brings, and what each shows."""


def make_card(hosted: Sequence[Hosting], results: Sequence[Evaluation]) -> Card:
    """The card of a server that hosts these, the first model first; without its id, its time and its state."""
    first = hosted[0]
    facts, loaded = first.facts, first.loaded()
    listed, bill = software()
    said = statements()
    taken = latest(results, facts.fingerprint)
    here = {each.facts.fingerprint for each in hosted}
    return {
        "object": "system_card",
        "version": VERSION,
        "fingerprint": facts.fingerprint,
        "model": _model(first, loaded),
        "deployment": {
            "server": "dovetail",
            "version": facts.version,
            "engine": loaded.kernels if loaded is not None else "not loaded yet",
            "software": shown_software(listed),
            "software_digest": f"sha256:{bill}",
            "hardware": hardware(),
            "configuration_digest": f"sha256:{facts.configuration_digest}",
            "configuration": dict(sorted(facts.configuration.items())),
            "policy_digest": facts.policy,
            "switched_on": sorted(facts.switched_on),
        },
        "capabilities": {
            "offered": list(facts.capabilities),
            "measured": [_measured(each) for each in taken],
            "of_other_configurations": sum(each.fingerprint not in here for each in results),
        },
        "quantisation": _quantisation(facts, taken, results),
        "beside": [_beside(each, results) for each in hosted[1:]],
        "guarantees": [
            {
                "id": each.id,
                "statement": each.statement,
                "in_force": _on(facts, each.control),
                "enforced": each.enforced,
                "how": each.how,
                "evidence": list(each.evidence),
            }
            for each in said.guarantee
        ],
        "limitations": [each.text for each in said.limitation],
        "risks": [
            {"risk": each.risk, "mitigation": each.mitigation, "in_force": _on(facts, each.control), "left": each.left}
            for each in said.risk
        ],
        "constraints": [each.text for each in said.constraint],
        "not_tested": _not_tested(taken),
    }


def id_of(card: Card) -> str:
    """A name for what a card says, whenever it is said."""
    return "card_" + hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()[:24]


def _beside(hosting: Hosting, results: Sequence[Evaluation]) -> dict[str, Any]:
    """What the card says of one more model or adapter."""
    facts = hosting.facts
    taken = latest(results, facts.fingerprint)
    return {
        "fingerprint": facts.fingerprint,
        "adapter_of": facts.parent,
        "model": _model(hosting, hosting.loaded()),
        "offered": list(facts.capabilities),
        "measured": [_measured(each) for each in taken],
        "quantisation": _quantisation(facts, taken, results),
        "not_tested": _missing(taken, facts.model),
    }


def _model(hosting: Hosting, loaded: Loaded | None) -> dict[str, Any]:
    facts, weights = hosting.facts, hosting.weights
    return {
        "name": facts.model,
        "digest": f"sha256:{weights}" if weights is not None else None,
        "signature": facts.signature,
        "licence": facts.licence,
        "context_length": facts.context_length,
        "architecture": loaded.architecture if loaded is not None else None,
        "parameters": loaded.parameters if loaded is not None else None,
        "weight_bytes": loaded.weight_bytes if loaded is not None else None,
        "stored_as": loaded.dtype if loaded is not None else None,
        "data_statement": data_statement(facts.directory),
    }


def _measured(result: Evaluation) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(result))
    return {key: told[key] for key in ("suite", "about", "suite_digest", "seed", "finished", "command", "metrics")}


def _quantisation(facts: Facts, taken: Sequence[Evaluation], results: Sequence[Evaluation]) -> dict[str, Any]:
    """The loss, where prediction was measured on the same texts with this configuration and with one that is not quantised."""
    told: dict[str, Any] = {"kind": facts.quantize or "none", "loss": None}
    own = next((each for each in taken if each.suite == "prediction"), None)
    if facts.quantize is None or own is None:
        return told
    for other in reversed(results):
        same = (other.suite, other.suite_digest) == (own.suite, own.suite_digest)
        if same and _same_weights(own, other) and other.quantisation == "none":
            before, after = _value(other, "bits_per_byte"), _value(own, "bits_per_byte")
            if before and after:
                told["loss"] = {
                    "bits_per_byte": after,
                    "of": other.fingerprint,
                    "its_bits_per_byte": before,
                    "ratio": round(after / before, 4),
                }
            break
    return told


def _same_weights(one: Evaluation, other: Evaluation) -> bool:
    """By their digest; where one of them is not known, by the model's name."""
    if one.model_digest is not None and other.model_digest is not None:
        return one.model_digest == other.model_digest
    return one.model == other.model


def _value(result: Evaluation, name: str) -> float | None:
    return next((metric.value for metric in result.metrics if metric.name == name), None)


def _on(facts: Facts, control: Control | None) -> bool:
    return control is None or control in facts.switched_on


def _not_tested(taken: Sequence[Evaluation]) -> list[str]:
    """Suites without a result, those with too few samples to say much, and what no suite looks at."""
    suites = {each.suite for each in taken}
    return [*_missing(taken), *(each.text for each in statements().untested if each.suite not in suites)]


def _missing(taken: Sequence[Evaluation], model: str | None = None) -> list[str]:
    """Suites that have no result, or one of too few samples to say much."""
    samples = {each.suite: max((metric.n for metric in each.metrics), default=0) for each in taken}
    named = f" --model {model}" if model is not None else ""
    missing = []
    for suite, about in SUITES.items():
        if suite not in samples:
            missing.append(f"{about} (dovetail eval {suite}{named})")
        elif samples[suite] < FEW_SAMPLES:
            missing.append(f"{about} ({samples[suite]} samples are few: dovetail eval {suite}{named} --samples 60)")
    return missing
