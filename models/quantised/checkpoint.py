"""Weight files of which some matrices are quantised: checked by their parts, and read as the matrices that they stand for.

Knows which parts make a matrix; how they are decoded is in schemes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.mxfp4 import StoredTensors
from dovetail.models.quantised.grouped import Grouped
from dovetail.models.quantised.schemes import Headers, Scheme, awq, eight_bit, gptq, packed

_PARTS = (
    "weight",
    "weight_scale",
    "weight_scale_inv",
    "weight_packed",
    "weight_shape",
    "weight_zero_point",
    "weight_g_idx",
    "qweight",
    "qzeros",
    "scales",
    "g_idx",
)
_UNREAD = ("input_scale", "input_zero_point", "input_global_scale", "k_scale", "v_scale", "q_scale")
"""Scales of activations and caches, which are not quantised here."""
_EIGHT_BIT_TYPES = ("F8_E4M3", "I8")


class QuantisedFiles:
    """Implements TensorSource and QuantisedSource.

    Args:
        files: the files as they are.
        config: ``quantization_config`` of config.json.
        where: names the directory in errors.
    """

    def __init__(self, files: StoredTensors, config: Mapping[str, Any], where: str) -> None:
        self._files, self._config, self._where = files, config, where
        self._schemes: dict[str, Scheme] = {}

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """See from the headers that the parts of every quantised matrix fit it, and that all else is as expected."""
        parts: set[str] = set()
        for name, shape in expected.items():
            base, dot, last = name.rpartition(".")
            if last != "weight" or len(shape) != 2:
                continue
            headers = self._headers(base + dot)
            scheme = self._scheme(headers, (shape[0], shape[1]), base)
            if scheme is not None:
                self._schemes[name] = scheme
                parts |= {base + dot + suffix for suffix in (*headers, *_UNREAD)}
        plain = {name: shape for name, shape in expected.items() if name not in self._schemes}
        owners = tuple(name.removesuffix("weight") for name in self._schemes)

        def ours(name: str) -> bool:
            return name in parts or self._unread(name, owners) or harmless(name)

        self._files.check(plain, ours)

    def tensor(self, name: str) -> Tensor:
        """One tensor, dequantised."""
        scheme = self._schemes.get(name)
        return self._files.tensor(name) if scheme is None else scheme.tensor(self._reader(name))

    def part(self, name: str, index: int) -> Tensor:
        """``tensor(name)[index]``."""
        return self._files.part(name, index)

    def bits(self, name: str) -> int:
        """Of a weight, without what is shared."""
        scheme = self._schemes.get(name)
        return 16 if scheme is None else scheme.bits

    def grouped(self, name: str) -> Grouped | None:
        """The tensor in 4 bits as it is stored; None: it is stored otherwise."""
        scheme = self._schemes.get(name)
        return None if scheme is None else scheme.grouped(self._reader(name))

    def _headers(self, prefix: str) -> Headers:
        found = {suffix: self._files.header(prefix + suffix) for suffix in _PARTS}
        return {suffix: header for suffix, header in found.items() if header is not None}

    def _scheme(self, headers: Headers, shape: tuple[int, int], base: str) -> Scheme | None:
        """How a matrix is stored; None: as plain floats, or not at all, which is found out elsewhere."""
        where = f"{self._where}: {base}"
        if "qweight" in headers:
            make = awq if self._config.get("quant_method") == "awq" else gptq
            return make(self._config, shape, headers, where)
        if "weight_packed" in headers:
            return packed(self._config, shape, headers, where)
        stored = headers.get("weight")
        if stored is None or stored[1] not in _EIGHT_BIT_TYPES:
            return None
        if stored[0] != shape:
            raise ModelDirectoryError(f"{where}.weight has shape {list(stored[0])}, expected {list(shape)}")
        return eight_bit(self._config, shape, headers, where)

    def _reader(self, name: str) -> Callable[[str], Tensor]:
        prefix = name.removesuffix("weight")
        return lambda suffix: self._files.tensor(prefix + suffix)

    def _unread(self, name: str, owners: tuple[str, ...]) -> bool:
        """Scales of activations; and the biases of nothing but zeros that old GPTQ checkpoints have beside every matrix."""
        if name.rpartition(".")[2] in _UNREAD:
            return True
        return name.endswith(".bias") and name.startswith(owners) and not bool(self._files.tensor(name).any())
