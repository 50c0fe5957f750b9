"""How much the weight files of a model directory hold, from their headers alone. Needs no torch; judges nothing."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from dovetail.models.gguf.describe import gguf_of
from dovetail.models.gguf.file import GgufFile

_LONGEST_HEADER = 100_000_000
"""As the safetensors format has it."""


@dataclass(frozen=True)
class Stored:
    """``parameters``: numbers in all tensors; ``nbytes``: what they take in the files."""

    parameters: int
    nbytes: int


def stored_weights(directory: Path) -> Stored:
    """Add up every safetensors file of ``directory``, or the GGUF file that it stands for. Files that cannot be read count nothing: loading them says what is wrong."""
    gguf = gguf_of(directory)
    if gguf is not None:
        with GgufFile(gguf) as file:
            tensors = file.tensors.values()
            return Stored(sum(math.prod(each.shape) for each in tensors), sum(each.nbytes for each in tensors))
    files = [_stored(path) for path in sorted(directory.glob("*.safetensors"))]
    return Stored(sum(file.parameters for file in files), sum(file.nbytes for file in files))


def _stored(path: Path) -> Stored:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length <= _LONGEST_HEADER else {}
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        spans = [tensor["data_offsets"] for tensor in tensors]
        return Stored(sum(math.prod(tensor["shape"]) for tensor in tensors), sum(end - begin for begin, end in spans))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Stored(0, 0)
