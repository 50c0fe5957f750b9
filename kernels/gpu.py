"""Whether tensors go to the Triton kernels, and how small tables get to where those run. Knows no kernel.

A tensor on a CUDA device does, if Triton is installed. Under Triton's interpreter (``TRITON_INTERPRET=1``, for tests) every tensor does.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import cache, cached_property

import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Read once: Triton itself decides when a kernel is defined."""


@cache
def available() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def on_gpu(x: Tensor) -> bool:
    """Whether the Triton kernels take this tensor."""
    return (x.is_cuda or INTERPRETED) and available()


def is_gpu(device: torch.device | str) -> bool:
    """Whether the Triton kernels take tensors of this device."""
    return (torch.device(device).type == "cuda" or INTERPRETED) and available()


@cache
def processors(device: torch.device | str) -> int:
    """Streaming multiprocessors of a device; under the interpreter few, so that small tests split their work too."""
    place = torch.device(device)
    return torch.cuda.get_device_properties(place).multi_processor_count if place.type == "cuda" else 4


@cache
def shared_memory(device: torch.device | str) -> int:
    """Bytes of fast memory that a program may have there."""
    place = torch.device(device)
    if place.type != "cuda":
        return 227 * 1024
    from triton.runtime import driver

    index = torch.cuda.current_device() if place.index is None else place.index
    return int(driver.active.utils.get_device_properties(index)["max_shared_mem"])


def upload(
    values: Sequence[float] | Sequence[Sequence[float]] | Tensor, dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """A small table on the device. The host does not wait for it: it is copied from pinned memory, in the order of the stream."""
    table = values if isinstance(values, Tensor) else torch.tensor(values, dtype=dtype, device="cpu")
    if torch.device(device).type != "cuda":
        return table
    return table.pin_memory().to(device, non_blocking=True)


class Fetched:
    """A tensor ``device`` on its way to the host. What the device is given to do meanwhile is not waited for."""

    def __init__(self, device: Tensor) -> None:
        self.device = device
        self._event: torch.cuda.Event | None = None
        self._host = device
        if device.is_cuda:
            self._host = torch.empty(device.shape, dtype=device.dtype, pin_memory=True)
            self._host.copy_(device, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(device.device))

    @cached_property
    def rows(self) -> list[list[float]]:
        """Its numbers: the one place where a step waits for its device."""
        if self._event is not None:
            self._event.synchronize()
        found: list[list[float]] = self._host.tolist()
        return found


def power_of_two(number: int) -> int:
    """The smallest one that is not below ``number``: Triton's tiles have such sides."""
    return 1 << max(0, number - 1).bit_length()
