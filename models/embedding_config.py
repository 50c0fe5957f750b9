"""Text embeddings: what a sentence-transformers directory says of them. Knows files; needs no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_json

Pooling = Literal["mean", "last"]

_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
    "mean": "mean",
    "lasttoken": "last",
}
_KNOWN = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class EmbeddingConfig:
    """How hidden states become one vector, and whether that is scaled to length 1."""

    pooling: Pooling
    normalize: bool

    @classmethod
    def load(cls, directory: Path) -> EmbeddingConfig | None:
        """What ``modules.json`` and the configuration of its pooling module say; None: it is no embedding model.

        Raises:
            ModelDirectoryError: a module or a kind of pooling that is not supported.
        """
        path = directory / "modules.json"
        if not path.is_file():
            return None
        kinds = {str(module.get("type", "")).rpartition(".")[2]: module for module in _modules(path)}
        unknown = sorted(set(kinds) - set(_KNOWN))
        if unknown:
            raise ModelDirectoryError(f"{path}: {', '.join(unknown)} is not supported; supported: {', '.join(_KNOWN)}")
        if "Pooling" not in kinds:
            raise ModelDirectoryError(f"{path}: there is no Pooling module")
        folder = directory / str(kinds["Pooling"].get("path", ""))
        return cls(_pooling(read_json(folder / "config.json"), folder / "config.json"), "Normalize" in kinds)


def _modules(path: Path) -> list[dict[str, Any]]:
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelDirectoryError(f"{path}: cannot be read as JSON ({error}); copy the file again") from error
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelDirectoryError(f"{path}: expected a list of modules")
    return modules


def _pooling(config: dict[str, Any], path: Path) -> Pooling:
    named = config.get("pooling_mode")
    modes = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    if isinstance(named, str):
        modes = [named]
    elif isinstance(named, list):
        modes = [str(each) for each in named]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise ModelDirectoryError(
            f"{path}: pooling by {' and '.join(modes) or 'nothing'} is not supported; supported: mean, or the last token"
        )
    return _MODES[modes[0]]
