"""Memory of whatever device: how much is in use, and that it ran out: torch's own errors become MemoryError. Knows nothing of the step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

import torch

_CPU_WORDS = ("can't allocate memory", "not enough memory")


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Raises MemoryError for what torch raises when an allocation fails, on whatever device; other errors pass."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if any(words in str(error) for words in _CPU_WORDS):
            raise MemoryError(str(error)) from error
        raise


class DeviceMemory:
    """Bytes in use, and all bytes, of an accelerator; nothing of a CPU, whose memory the system tells."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._asked_at = -math.inf
        self._told = (0, 0)

    def __call__(self) -> tuple[int, int]:
        """As of a second ago at most: to ask the driver in every step would cost as much as a kernel."""
        now = time.monotonic()
        if self._device.type == "cuda" and now - self._asked_at > 1.0:
            free, total = torch.cuda.mem_get_info(self._device)
            self._asked_at, self._told = now, (total - free, total)
        return self._told
