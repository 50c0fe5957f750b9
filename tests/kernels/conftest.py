"""Runs a test with each instruction set this machine has, and with no native library at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dovetail.kernels.cpu import library as native


@pytest.fixture(params=["none", *native.INSTRUCTION_SETS])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The instruction set in use; "none": the torch versions, as if nothing had been built."""
    wanted: str = request.param
    if wanted == "none":
        monkeypatch.setattr(native, "PATH", Path("/nowhere"))
        native.library.cache_clear()
    elif native.library() is None:
        pytest.skip("the native library is not built")
    elif native.limit_instruction_set(wanted) != wanted:
        pytest.skip(f"this processor has no {wanted}")
    yield wanted
    monkeypatch.undo()
    native.library.cache_clear()
    if native.library() is not None:
        native.limit_instruction_set(native.INSTRUCTION_SETS[-1])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Torch's own threads spin on busy machines; tests of ours set a number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
