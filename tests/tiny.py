"""A tiny random checkpoint for tests: an ordinary model directory, written in well under a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dovetail.models.random_checkpoint import write_random_checkpoint


def write_tiny_checkpoint(
    directory: Path,
    family: str = "qwen2",
    *,
    seed: int = 0,
    vocab_size: int = 512,
    hidden: int = 64,
    layers: int = 2,
    sharded: bool = False,
    max_position_embeddings: int = 2048,
    **shape: Any,
) -> Path:
    """Write the checkpoint into ``directory`` and return it; ``shape`` as the other fields of ``RandomCheckpoint``."""
    return write_random_checkpoint(
        directory,
        family=family,
        seed=seed,
        vocab_size=vocab_size,
        hidden=hidden,
        layers=layers,
        sharded=sharded,
        max_position_embeddings=max_position_embeddings,
        **shape,
    )
