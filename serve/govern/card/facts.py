"""What a deployment tells its card: model, engine, versions, machine, what is switched on. Measures nothing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dovetail.serve.govern.card.statements import Control

_LONGEST_STATEMENT = 4000
_SHOWN = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "llguidance",
    "tree-sitter",
    "fastapi",
    "uvicorn",
    "cryptography",
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known when the server starts.

    ``configuration``: every setting that can change an answer or who may ask, as text; its digest names the deployment.
    ``watched``: files that were read at the start: one that has changed since makes the card stale. ``switched_on``: controls
    that are in force. ``weights``: the digest of the model's files where it is known already. ``parent``: the model that this is an
    adapter of.
    """

    model: str
    created: int
    context_length: int
    capabilities: tuple[str, ...]
    directory: Path
    configuration: Mapping[str, str]
    version: str
    switched_on: frozenset[Control] = frozenset()
    watched: tuple[Path, ...] = ()
    weights: str | None = None
    policy: str | None = None
    signature: str = "not required"
    licence: str = "not named"
    quantize: str | None = None
    parent: str | None = None

    @property
    def configuration_digest(self) -> str:
        """Of everything that makes this deployment what it is."""
        identity = {
            "version": self.version,
            "model": self.model,
            "created": self.created,
            "context_length": self.context_length,
            "weights": self.weights,
            "policy": self.policy,
            "switched_on": sorted(self.switched_on),
            "configuration": dict(self.configuration),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """What every answer names as its ``system_fingerprint``."""
        return "fp_" + self.configuration_digest[:12]


def data_statement(directory: Path) -> str | None:
    """What the model's own card says of its data: the sections of its README whose headings speak of data. None: nothing."""
    try:
        lines = (directory / "README.md").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    kept: list[str] = []
    level = 0
    for line in lines:
        depth = len(line) - len(line.lstrip("#")) if line.startswith("#") else 0
        if depth and (not level or depth <= level):
            level = depth if "data" in line.lower() else 0
        if level:
            kept.append(line)
    text = "\n".join(kept).strip()
    return text[:_LONGEST_STATEMENT] if text else None


def software() -> tuple[list[dict[str, str]], str]:
    """Every installed distribution with its version, and one digest of the list."""
    found = {
        str(each.metadata["Name"]).lower().replace("_", "-"): each.version
        for each in importlib.metadata.distributions()
        if each.metadata["Name"]
    }
    listed = [{"name": name, "version": version} for name, version in sorted(found.items())]
    return listed, hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def shown_software(listed: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those of them that answers depend on most."""
    return [each for each in listed if each["name"] in _SHOWN]


def hardware() -> dict[str, Any]:
    """Processor, cores and memory of this machine."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "system": platform.system(),
    }
