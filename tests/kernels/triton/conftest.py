"""The Triton kernels under Triton's interpreter, on the CPU: ``make test-triton`` installs Triton and sets the variable. Without it, on a
CUDA device, the kernels themselves (benchmarks/gpu/run.py --only tests): every tensor that a test makes is there then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dovetail.kernels import gpu


@pytest.fixture(autouse=True, scope="session")
def _interpreter() -> Iterator[None]:
    if not gpu.available():
        pytest.skip("Triton is not installed (make test-triton installs it)")
    if not gpu.INTERPRETED and not torch.cuda.is_available():
        pytest.skip("TRITON_INTERPRET=1 is not set (make test-triton sets it), and there is no CUDA device")
    if not gpu.INTERPRETED:
        torch.set_default_device("cuda")
        yield
        torch.set_default_device(None)
        return
    from triton.runtime import interpreter

    # Triton 3.6 turns arrays of one element into numbers in a way that numpy 2.4 no longer allows; Triton 3.9 does not.
    whole = interpreter._patch_lang_tensor

    def patch(tensor: type, scope: interpreter._LangPatchScope) -> None:
        whole(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(interpreter, "_patch_lang_tensor", patch)
        yield
