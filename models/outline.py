"""What config.json says of any model, whether the native engine has its architecture or not: name, vocabulary, window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_json

_WINDOWS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx")


@dataclass(frozen=True)
class Outline:
    """``window``: positions that the model was made for; None: config.json does not say."""

    architecture: str
    vocab_size: int
    window: int | None


def outline_of(directory: Path) -> Outline:
    """Read ``config.json``, of a model around a text model that one's part. Raises ModelDirectoryError."""
    path = directory / "config.json"
    values = read_json(path)
    names = values.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise ModelDirectoryError(f"{path}: architectures is missing")
    text = values.get("text_config")
    parts = [text, values] if isinstance(text, dict) else [values]
    size = _whole(parts, ("vocab_size",))
    if size is None:
        raise ModelDirectoryError(f"{path}: vocab_size is missing")
    return Outline(names[0], size, _whole(parts, _WINDOWS))


def _whole(parts: list[dict[str, Any]], keys: tuple[str, ...]) -> int | None:
    found = (part.get(key) for part in parts for key in keys)
    return next(
        (value for value in found if isinstance(value, int) and not isinstance(value, bool) and value > 0), None
    )
