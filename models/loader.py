"""Loads a model directory into a decoder ready to run. Knows the order of the steps, not how any of them is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from dovetail.models.config import ModelConfig
from dovetail.models.decoder import Decoder
from dovetail.models.parameters import DecoderParameters
from dovetail.models.weights import WeightFiles

Progress = Callable[[float, str], None]
"""Called with the fraction done (0 to 1) and what is being done."""


@dataclass(frozen=True)
class LoadedModel:
    """A decoder and its size. ``parameters`` counts shared (tied) weights once; ``weight_bytes`` is what they take."""

    config: ModelConfig
    decoder: Decoder
    parameters: int
    weight_bytes: int


def load_model(
    path: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    progress: Progress | None = None,
) -> LoadedModel:
    """Read config.json and the safetensors weights of ``path``.

    Args:
        path: a Hugging Face model directory.
        dtype: the type to compute in; weights are converted while they are read.
        device: where the weights go.
        progress: told how far the loading is.

    Raises:
        ModelDirectoryError: the directory cannot be served; the message says why and what to do.
    """
    report = progress or (lambda fraction, step: None)
    report(0.0, "reading config.json")
    config = ModelConfig.load(path)
    with WeightFiles(path) as files:
        parameters = DecoderParameters.read(config, files, dtype, torch.device(device), report)
    report(1.0, "loaded")
    return LoadedModel(config, Decoder(config, parameters), parameters.count(), parameters.count() * dtype.itemsize)
