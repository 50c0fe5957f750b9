"""How much the engine may hold, derived from the configuration, the model's shape and the machine. Loads nothing."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import both
from dovetail.serve.errors import ModelError

_ELEMENT_BYTES = {"auto": 2, "float32": 4, "bfloat16": 2, "float16": 2}
_SHARE_OF_MEMORY = 0.25
"""Of the memory that is available at start: the weights and everything else need the rest."""
_SHARE_OF_GPU = 0.8
"""Of what the weights leave of a GPU's memory: activations, logits and captured steps need the rest."""
_SHARE_BESIDE_WEIGHTS = 0.7
"""Of what the weights leave, where they leave little."""
_BITS = {"int8": 8.25, "int4": 5.0, "fp8": 8.0, "float32": 32.0, "bfloat16": 16.0, "float16": 16.0}
"""Per weight, with scales and offsets."""


LEAST_CAPABILITY = (8, 0)
"""Of a GPU that ``auto`` chooses."""
_ROOM_BESIDE_WEIGHTS, _LEAST_ROOM = 1.1, 2 * 2**30
"""What it must have free: so many times the weights, and so many bytes."""


class ModelShape(Protocol):
    """What sizing needs of a model's configuration."""

    @property
    def max_position_embeddings(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def kv_size(self) -> int: ...


@dataclass(frozen=True)
class Sizes:
    """The derived sizes. ``kv_blocks`` blocks hold at least one sequence of ``max_model_len`` tokens."""

    device: str
    max_model_len: int
    kv_blocks: int


class StoredWeights(Protocol):
    """What sizing needs of the weight files."""

    @property
    def parameters(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


def plan_sizes(
    config: ServerConfig,
    model: ModelShape,
    weights: StoredWeights | None = None,
    available: int | None = None,
    probe: Probe | None = None,
) -> Sizes:
    """Derive every size. ``available``: bytes of memory to count on (default: what the machine reports). ``probe``: finds the GPU that
    ``auto`` may choose (default: :func:`usable_gpu`).

    Raises ModelError when what was asked for cannot be had.
    """
    device = _device(config, weights, probe or usable_gpu)
    for name in ("kv_cache_dtype", "quantize"):
        if device == "cpu" and getattr(config, name) == "fp8":
            raise ModelError(
                f"{both(name)} fp8 is for a GPU, and there is none here to use; leave it out, or say --device cuda"
            )
    # On a CPU everything is computed in float32, however the weights are stored.
    element_bytes = 4 if device == "cpu" else 1 if config.kv_cache_dtype == "fp8" else _ELEMENT_BYTES[config.dtype]
    block_bytes = 2 * model.num_layers * model.kv_size * element_bytes * config.block_size
    wanted_len = config.max_model_len or model.max_position_embeddings
    if wanted_len > model.max_position_embeddings:
        raise ModelError(
            f"{both('max_model_len')} is {wanted_len}, but the model was made for "
            f"{model.max_position_embeddings} positions; lower it."
        )
    memory = config.kv_cache_memory
    if memory is None:
        if available is None:
            available = available_memory() if device == "cpu" else _gpu_memory()
        memory = int(available * _SHARE_OF_MEMORY)
        if device != "cpu" and weights is not None:
            memory = int((available - _room_for(weights, config, available)) * _SHARE_OF_GPU)
        if device == "cpu" and weights is not None:
            memory = min(memory, int((available - _room_for(weights, config, available)) * _SHARE_BESIDE_WEIGHTS))
    useful = config.max_num_seqs * -(-wanted_len // config.block_size)
    blocks = min(memory // block_bytes, useful)
    capacity = blocks * config.block_size
    if config.max_model_len is not None and capacity < config.max_model_len:
        raise ModelError(
            f"a context of {config.max_model_len} tokens needs {-(-config.max_model_len // config.block_size) * block_bytes} "
            f"bytes of KV cache and {memory} are allowed; raise --kv-cache-memory or lower --max-model-len"
        )
    if capacity < min(wanted_len, 256):
        raise ModelError(f"only {capacity} tokens of KV cache fit into {memory} bytes; raise --kv-cache-memory")
    return Sizes(device, min(wanted_len, capacity), blocks)


def _room_for(weights: StoredWeights, config: ServerConfig, available: int) -> int:
    """Bytes the loaded weights will take; raises ModelError when they will not fit."""
    needed = _weight_bytes(weights, config)
    if needed >= available:
        smaller = [name for name in ("int8", "int4") if weights.parameters * _BITS[name] / 8 < available * 0.9]
        advice = f"use --quantize {' or '.join(smaller)}" if smaller else "take a smaller model or a larger machine"
        raise ModelError(
            f"the weights take {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB of memory are available; {advice}"
        )
    return needed


def _weight_bytes(weights: StoredWeights, config: ServerConfig) -> int:
    kind = config.quantize or (None if config.dtype == "auto" else config.dtype)
    return weights.nbytes if kind is None else int(weights.parameters * _BITS[kind] / 8)


@dataclass(frozen=True)
class Gpu:
    """What its driver says of the first GPU."""

    free: int
    capability: tuple[int, int]


Probe = Callable[[], Gpu | None]


def first_gpu() -> Gpu | None:
    """The first GPU, as its driver's own tool says; None: no NVIDIA GPU answers. This process does not load torch."""
    command = ["nvidia-smi", "--query-gpu=memory.free,compute_cap", "--format=csv,noheader,nounits", "--id=0"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        free, capability = said.split("\n")[0].split(",")
        major, minor = capability.strip().split(".")
        return Gpu(int(free) * 2**20, (int(major), int(minor)))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def usable_gpu() -> Gpu | None:
    """The first GPU, if torch and Triton here are made for it."""
    torch = find_spec("torch")
    if torch is None or torch.origin is None or find_spec("triton") is None:
        return None
    try:
        built_for = (Path(torch.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    if re.search(r"(?m)^cuda\b[^=]*= *['\"]", built_for) is None:
        return None
    found = first_gpu()
    return found if found is not None and found.capability >= LEAST_CAPABILITY else None


def _device(config: ServerConfig, weights: StoredWeights | None, probe: Probe) -> str:
    """What ``auto`` means here: the GPU if it can be used and has room for the weights and for a cache."""
    if config.device != "auto":
        return config.device
    found = probe()
    if found is None:
        return "cpu"
    needed = _weight_bytes(weights, config) if weights is not None else 0
    return "cuda" if found.free >= needed * _ROOM_BESIDE_WEIGHTS + _LEAST_ROOM else "cpu"


def _gpu_memory() -> int:
    found = first_gpu()
    if found is None:
        raise ModelError(
            "no NVIDIA GPU answers here (nvidia-smi); use --device cpu, or, where there is one all the same, say how much of it the "
            "cache may take with --kv-cache-memory"
        )
    return found.free


def available_memory() -> int:
    """Bytes that can be taken without swapping: what Linux reports as available, else half of the physical memory."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
