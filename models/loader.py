"""Loads a model directory into a decoder ready to run. Knows the order of the steps, not how any of them is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from dovetail.kernels.ops import Storage, has_cpu_kernels, is_gpu
from dovetail.models.config import ModelConfig
from dovetail.models.decoder import Decoder
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_json
from dovetail.models.gguf.describe import gguf_of
from dovetail.models.gguf.file import GgufFile
from dovetail.models.gguf.weights import GgufWeights
from dovetail.models.mxfp4 import Mxfp4Files
from dovetail.models.parameters import WeightFormat
from dovetail.models.quantised.checkpoint import QuantisedFiles
from dovetail.models.quantised.grouped import QuantisedSource
from dovetail.models.quantised.kept import kept_storage
from dovetail.models.read_parameters import TensorSource, read_parameters
from dovetail.models.tensors import tensor_shapes
from dovetail.models.weights import WeightFiles

Quantization = Literal["int8", "int4", "fp8"]

FP8_CAPABILITY = (8, 9)
"""Of GPUs that multiply 8-bit floats."""

Progress = Callable[[float, str], None]
"""Called with the fraction done (0 to 1) and what is being done."""


@dataclass(frozen=True)
class LoadedModel:
    """A decoder and its size. ``parameters`` counts shared (tied) weights once; ``weight_bytes`` is what they take, and
    ``step_bytes`` what every forward pass reads of them.

    ``storage``: what one weight is stored as, such as bfloat16 or int4; ``decoder.dtype`` is what is computed in.
    """

    config: ModelConfig
    decoder: Decoder
    parameters: int
    weight_bytes: int
    step_bytes: int
    storage: str


def load_model(
    path: Path,
    *,
    dtype: torch.dtype | Literal["auto"] = torch.float32,
    quantize: Quantization | None = None,
    device: str = "cpu",
    max_model_len: int | None = None,
    deterministic: bool = False,
    progress: Progress | None = None,
) -> LoadedModel:
    """Read config.json and the weights of ``path``.

    Args:
        path: a Hugging Face model directory.
        dtype: the type of the weights; "auto" keeps bfloat16 and (on a GPU) float16 files as they are, matrices in few bits
            as well (on a GPU with Triton), and reads anything else as float32. On the CPU, bfloat16 is for storage: everything is
            computed in float32, but that processors with AMX round the activations of prompts to bfloat16 too. Elsewhere
            it is also the type to compute in.
        quantize: store the matrices in 8 or 4 bits with a scale per group of weights; "fp8": in 8-bit floats with a scale per row.
        device: where the weights go.
        max_model_len: the longest context that is served, which LongRoPE's angles depend on; None: the longest there is.
        deterministic: a request's tokens shall not depend on what shares its batches.
        progress: told how far the loading is.

    Raises:
        ModelDirectoryError: the directory cannot be served in this way; the message says why and what to do.
    """
    report = progress or (lambda fraction, step: None)
    report(0.0, "reading config.json")
    config = ModelConfig.load(path)
    _check_kernels(config, quantize, torch.device(device), deterministic)
    with _open(path, config) as (config, files):
        weight_format = _weight_format(config, files, dtype, quantize, torch.device(device), deterministic)
        parameters = read_parameters(config, files, weight_format, report)
    report(1.0, "loaded")
    decoder = Decoder(config, parameters, max_model_len, deterministic=deterministic)
    return LoadedModel(config, decoder, parameters.count, parameters.nbytes, parameters.step_bytes, weight_format.name)


def _with_head(config: ModelConfig, files: WeightFiles) -> ModelConfig:
    """Embedding models are saved without their head, under names without the prefix: then the embedding stands for the head."""
    embedding = config.family.names.embedding + ".weight"
    prefix = embedding.partition(".")[0] + "."
    if embedding.removeprefix(prefix) not in files.names():
        return config
    files.below(prefix)
    return dataclasses.replace(config, tie_word_embeddings=True)


def _quantization(path: Path) -> dict[str, Any]:
    values = read_json(path / "config.json")
    given = values.get("quantization_config") or values.get("text_config", {}).get("quantization_config")
    if not isinstance(given, dict):
        raise ModelDirectoryError(f"{path / 'config.json'}: quantization_config must be an object")
    return given


@contextmanager
def _open(path: Path, config: ModelConfig) -> Iterator[tuple[ModelConfig, TensorSource]]:
    """The tensors of a model, whatever they are stored in."""
    gguf = gguf_of(path)
    if gguf is not None:
        with GgufFile(gguf) as file:
            yield config, GgufWeights(file, config)
        return
    with WeightFiles(path) as files:
        config = _with_head(config, files)
        if config.quantization == "mxfp4":
            yield config, Mxfp4Files(files, str(path))
        elif config.quantization is not None:
            yield config, QuantisedFiles(files, _quantization(path), str(path))
        else:
            yield config, files


def _check_kernels(
    config: ModelConfig, quantize: Quantization | None, device: torch.device, deterministic: bool
) -> None:
    """Refuse what there are no kernels for here."""
    if deterministic and not (is_gpu(device) if device.type != "cpu" else has_cpu_kernels()):
        wanted = (
            "Triton (pip install triton)" if device.type != "cpu" else "the C++ kernels (pip install with a compiler)"
        )
        raise ModelDirectoryError(
            f"deterministic answers on {device} need {wanted}; leave --deterministic out without it"
        )
    if quantize is not None and device.type != "cpu":
        if not is_gpu(device):
            raise ModelDirectoryError(f"{quantize} weights on {device} need Triton (pip install triton)")
        if quantize == "fp8" and torch.cuda.get_device_capability(device) < FP8_CAPABILITY:
            raise ModelDirectoryError(
                f"{device} cannot multiply 8-bit floats (compute capability below 8.9); use --quantize int8"
            )
    if quantize == "fp8" and device.type == "cpu":
        raise ModelDirectoryError(
            "fp8 weights are for GPUs of compute capability 8.9 or newer; use --quantize int8 on a CPU"
        )


def _weight_format(
    config: ModelConfig,
    files: TensorSource,
    dtype: torch.dtype | Literal["auto"],
    quantize: Quantization | None,
    device: torch.device,
    deterministic: bool,
) -> WeightFormat:
    kept: Storage | None = None
    if dtype == "auto":
        dtype, kept = _stored_type(config, files, device)
    if device.type == "cpu" and (quantize is not None or dtype in (torch.float32, torch.bfloat16)):
        storage: Storage = "bfloat16" if dtype == torch.bfloat16 else "float32"
        return WeightFormat(torch.float32, device, quantize or storage, None if quantize else kept, deterministic)
    return WeightFormat(dtype, device, quantize, None if quantize or not is_gpu(device) else kept, deterministic)


def _stored_type(config: ModelConfig, files: TensorSource, device: torch.device) -> tuple[torch.dtype, Storage | None]:
    """The type of the first layer's attention weights, where there are kernels for it here; what those in few bits become."""
    name = config.family.names.output.format(i=0) + ".weight"
    files.check({name: tensor_shapes(config)[name]}, lambda name: True)
    if isinstance(files, QuantisedSource):
        kept = kept_storage(files.bits(name))
        if kept is not None:
            return torch.bfloat16, kept
    found = files.tensor(name).dtype
    types = (torch.bfloat16,) if device.type == "cpu" else (torch.bfloat16, torch.float16)
    return (found if found in types else torch.float32), None
