"""Failed allocations are MemoryErrors; nothing else is."""

from __future__ import annotations

import pytest
import torch

from dovetail.serve.engine.native.memory import memory_errors


def test_an_allocation_that_fails_is_a_memory_error() -> None:
    with pytest.raises(MemoryError), memory_errors():
        torch.empty(1 << 60, dtype=torch.uint8)


def test_a_device_that_is_full_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="2 GiB"), memory_errors():
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors():
        raise RuntimeError("shapes do not match")
