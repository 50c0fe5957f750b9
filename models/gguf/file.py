"""A GGUF file: its metadata, and where its tensors lie. Reads nothing it was not asked for, and believes no length in it.

Knows the container; not what keys and tensors mean. Needs no torch.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.gguf.formats import FORMATS, BlockFormat

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class StoredTensor:
    """``shape``: rows first. ``offset``: of its first byte in the file."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat
    offset: int
    nbytes: int


class GgufFile:
    """A file, mapped. A context manager.

    Raises:
        ModelDirectoryError: it is no GGUF file, damaged, or holds tensors in a format that is not supported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, StoredTensor] = {}
        try:
            self._bytes = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise ModelDirectoryError(f"{path}: cannot be read ({error})") from error
        cursor = _Cursor(self._bytes, path)
        if cursor.take(4) != MAGIC:
            raise ModelDirectoryError(f"{path}: is no GGUF file")
        (version,) = cursor.unpack("I")
        if version not in _VERSIONS:
            raise ModelDirectoryError(f"{path}: GGUF version {version} is not supported; supported: 2 and 3")
        tensors, keys = cursor.unpack("QQ")
        for _ in range(cursor.count(keys)):
            key = cursor.string()
            self.metadata[key] = cursor.value(*cursor.unpack("I"))
        found = [self._described(cursor) for _ in range(cursor.count(tensors))]
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise ModelDirectoryError(f"{path}: general.alignment {alignment!r} is no alignment")
        begin = -(-cursor.at // alignment) * alignment
        for name, shape, kind, offset in found:
            nbytes = math.prod(shape) // kind.weights * kind.nbytes
            if begin + offset + nbytes > len(self._bytes) or name in self.tensors:
                raise ModelDirectoryError(
                    f"{path}: {name} lies outside of the file, or twice in it; copy the file again"
                )
            self.tensors[name] = StoredTensor(name, shape, kind, begin + offset, nbytes)

    def __enter__(self) -> GgufFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._bytes

    def blocks(self, name: str) -> Bytes:
        """``[rows, blocks, bytes of a block]``, copied."""
        tensor = self.tensors[name]
        raw = np.array(self._bytes[tensor.offset : tensor.offset + tensor.nbytes])
        return raw.reshape(math.prod(tensor.shape[:-1]), -1, tensor.format.nbytes)

    def _described(self, cursor: _Cursor) -> tuple[str, tuple[int, ...], BlockFormat, int]:
        name = cursor.string()
        (dimensions,) = cursor.unpack("I")
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise ModelDirectoryError(f"{self.path}: {name} has {dimensions} dimensions; copy the file again")
        shape = tuple(reversed(cursor.unpack("Q" * dimensions)))
        number, offset = cursor.unpack("IQ")
        kind = FORMATS.get(number)
        if kind is None:
            known = ", ".join(each.name for each in FORMATS.values())
            raise ModelDirectoryError(f"{self.path}: {name} is stored in ggml's type {number}; supported: {known}")
        if not 0 < math.prod(shape) <= len(self._bytes) * 8 or shape[-1] % kind.weights:
            raise ModelDirectoryError(f"{self.path}: {name} cannot have the shape {list(shape)} as {kind.name}")
        return name, shape, kind, offset


class _Cursor:
    def __init__(self, data: Any, path: Path) -> None:
        self._data, self._path = data, path
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self.at:
            raise ModelDirectoryError(f"{self._path}: ends in the middle; copy the file again")
        found = self._data[self.at : self.at + count].tobytes()
        self.at += count
        return bytes(found)

    def unpack(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def count(self, announced: int) -> int:
        """``announced`` things of a byte or more each."""
        if announced > len(self._data) - self.at:
            raise ModelDirectoryError(f"{self._path}: ends in the middle; copy the file again")
        return announced

    def string(self) -> str:
        (length,) = self.unpack("Q")
        return self.take(length).decode(errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY and depth < 2:
            inner, length = self.unpack("IQ")
            self.count(length)
            if inner in _NUMBERS:
                return list(self.unpack(f"{length}{_NUMBERS[inner]}"))
            return [self.value(inner, depth + 1) for _ in range(length)]
        if kind not in _NUMBERS:
            raise ModelDirectoryError(f"{self._path}: holds a value of type {kind}, which is none; copy the file again")
        return self.unpack(_NUMBERS[kind])[0]
