"""The real readers of the files that the documentation shows: each takes a block's text and raises where it is not right."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from dovetail.agent.repo.rules import read_rules
from dovetail.agent.sandbox.config import read_config
from dovetail.serve.api.edits.apply import ApplyBody
from dovetail.serve.api.edits.body import EditsBody
from dovetail.serve.config.sources import load_config
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.govern.access.document import read_access_file
from dovetail.serve.govern.declines.document import read_acceptable_use

Loader = Callable[[str, Path], object]


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _repository(text: str, folder: Path) -> object:
    return read_rules(text), read_config(_file(folder, "dovetail.toml", text).parent)


LOADERS: Mapping[str, Loader] = {
    "config": lambda text, folder: load_config({}, {}, _file(folder, "server.toml", text)),
    "policy": lambda text, folder: parse_policy(tomllib.loads(text)),
    "access": lambda text, folder: read_access_file(_file(folder, "access.toml", text)),
    "acceptable use": lambda text, folder: read_acceptable_use(_file(folder, "acceptable-use.toml", text)),
    "dovetail.toml": _repository,
    "edits": lambda text, folder: EditsBody.model_validate(json.loads(text)),
    "edits/apply": lambda text, folder: ApplyBody.model_validate(json.loads(text)),
}
"""By what a comment above the block calls them (``loads: policy``)."""
