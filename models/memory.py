"""How much memory a model takes, from its configuration alone. Reads no weights."""

from __future__ import annotations

import math

from dovetail.kernels.ops import STORAGES, Storage, packed_bytes
from dovetail.models.config import ModelConfig
from dovetail.models.tensors import parameters, tensor_shapes

__all__ = ["STORAGES", "kv_bytes_per_token", "parameters", "read_per_token", "weight_bytes"]


def weight_bytes(config: ModelConfig, storage: Storage) -> int:
    """What the weights take on a CPU when their matrices are stored so, as models/read_parameters.py does it."""
    names, quantized = config.family.names, storage in ("int8", "int4")
    embedding, head = names.embedding + ".weight", names.head + ".weight"
    total = 0
    for name, shape in tensor_shapes(config).items():
        if name in (embedding, head):
            continue
        if len(shape) == 1 or name.endswith("_bias") or (names.positions and name.startswith(names.positions)):
            total += 4 * math.prod(shape)
        elif len(shape) == 3:
            total += shape[0] * packed_bytes(shape[2], shape[1], storage)
        else:
            exact = config.experts is not None and name.endswith(names.router.rpartition("}")[2] + ".weight")
            total += packed_bytes(shape[0], shape[1], "float32" if exact else storage)
    table = (config.vocab_size, config.hidden_size)
    if quantized:
        return total + 2 * math.prod(table) + packed_bytes(*table, "int8")
    if config.tie_word_embeddings:
        return total + packed_bytes(*table, storage)
    return total + packed_bytes(*table, storage) + (2 if storage == "bfloat16" else 4) * math.prod(table)


def read_per_token(config: ModelConfig) -> float:
    """The share of the parameters that one token goes through: below 1 where it chooses some of many experts."""
    if config.experts is None:
        return 1.0
    each = 3 * config.experts.inner * config.hidden_size
    idle = len(config.experts.layers) * (config.experts.count - config.experts.per_token) * each
    return 1 - idle / parameters(config)


def kv_bytes_per_token(config: ModelConfig, element: int = 4) -> int:
    """What one token of context takes in the cache; ``element``: 4 bytes on a CPU, 2 with bfloat16 on a GPU."""
    return 2 * config.num_layers * config.kv_size * element
