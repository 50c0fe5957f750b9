"""Every family's pass as on a GPU, with tensors that have a place, a type and a shape but no numbers: nothing of the host gets among
what is on the device, and types fit where bfloat16 is computed in, which the interpreter cannot multiply."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dovetail.kernels import gpu
from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.config import ModelConfig
from dovetail.models.decoder import Decoder
from dovetail.models.families import FAMILIES
from dovetail.models.parameters import WeightFormat
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.read_parameters import read_parameters
from dovetail.models.tensors import tensor_shapes
from dovetail.serve.engine.native.device_draw import DeviceDraws
from dovetail.serve.engine.native.draw_row import DrawRow
from dovetail.serve.engine.native.fork import Run
from dovetail.serve.engine.native.graphs import DecodeGraphs, GraphLimits
from dovetail.serve.engine.native.sequence import Sequence as EngineSequence
from dovetail.serve.types import Request, SamplingParams

pytestmark = pytest.mark.triton
DEVICE = torch.device("meta")
EXPERTS = {"gpt-oss": {"num_local_experts": 4, "num_experts_per_tok": 2}}


class Tensors:
    """A checkpoint of tensors without numbers, on the host."""

    def __init__(self, config: ModelConfig) -> None:
        self._shapes = tensor_shapes(config)

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """Nothing to compare with."""

    def tensor(self, name: str) -> Tensor:
        return torch.empty(self._shapes[name], dtype=torch.bfloat16)

    def part(self, name: str, index: int) -> Tensor:
        return torch.empty(self._shapes[name][1:], dtype=torch.bfloat16)


def upload(values: Sequence[Any] | Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty_like(torch.as_tensor(values, dtype=dtype), device=device)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The kernels that were launched, none of which ran, with tensors of the device alone."""
    from triton.runtime.interpreter import InterpretedFunction

    import dovetail.kernels.attention.triton
    import dovetail.kernels.linear.triton
    import dovetail.kernels.moe.triton
    import dovetail.kernels.sampling.triton  # noqa: F401

    names: set[str] = set()

    def launch(kernel: Any, *args: Any, grid: tuple[int, ...], warmup: bool, **options: Any) -> None:
        strangers = [each.device for each in args if isinstance(each, Tensor) and each.device != DEVICE]
        assert not strangers, f"{kernel.fn.__name__} was handed tensors of {strangers}"
        assert all(side > 0 for side in grid)
        names.add(kernel.fn.__name__)

    monkeypatch.setattr(InterpretedFunction, "run", launch)
    ours = {
        "on_gpu": lambda x: x.device == DEVICE,
        "is_gpu": lambda device: torch.device(device) == DEVICE,
        "upload": upload,
        "processors": lambda device: 132,
    }
    for module in [module for name, module in sys.modules.items() if name.startswith("dovetail.")]:
        for name, replacement in ours.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, replacement)
    return names


@pytest.mark.skipif(not gpu.INTERPRETED, reason="launches are looked at, not made")
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("storage", [None, "int8", "int4", "fp8"])
@pytest.mark.parametrize("family", sorted({family.name for family in FAMILIES.values()}))
def test_a_pass_stays_on_its_device(
    family: str, storage: Any, deterministic: bool, tmp_path: Path, launched: set[str]
) -> None:
    config = ModelConfig.load(
        write_random_checkpoint(tmp_path, family=family, layers=2, config=EXPERTS.get(family, {}))
    )
    wanted = WeightFormat(torch.bfloat16, DEVICE, storage, None, deterministic)
    parameters = read_parameters(config, Tensors(config), wanted, lambda fraction, step: None)
    decoder = Decoder(config, parameters, deterministic=deterministic)
    cache = KVCache.allocate(config, 20, 16, torch.bfloat16, DEVICE)

    def on_device(values: Sequence[Any]) -> Tensor:
        return upload(values, torch.int64, DEVICE)

    for starts, contexts in [((0, 1, 2), (5, 9)), ((0, 300, 301), (300, 9))]:
        rows = on_device([1] * starts[-1])
        batch = RaggedBatch(
            rows, rows, rows, starts, contexts, on_device([[0] * 20] * 2), on_device([0, 1]), copies=(on_device([1]), on_device([2]))
        )  # fmt: skip
        logits = decoder.forward(batch, cache)
        assert (logits.dtype, logits.device, logits.shape) == (torch.float32, DEVICE, (2, config.vocab_size))
    graphs = DecodeGraphs(decoder, cache, GraphLimits(4, 3, 128), lambda run: run)
    with torch.inference_mode():
        found = graphs.run([Run([1], 3, [0]), Run([1, 2], 3, [1], [(1, 2)])])
        ahead = graphs.run([Run([0], 4, [0]), Run([0], 5, [1])], on_device([7, 8]))
    assert found is not None and found.shape[0] == 3 and ahead is not None and ahead.shape[0] == 2
    assert {"_attend", "_copy", "_prepare"} <= launched
    assert ("_linear" in launched) == (storage is not None or deterministic)
    assert ("_grouped" in launched) == (config.experts is not None)


class Half:
    """A constraint with a mask."""

    def mask_into(self, words: np.ndarray[Any, Any]) -> bool:
        words.fill(0x55555555)
        return True

    def may_end(self) -> bool:
        return True


@pytest.mark.skipif(not gpu.INTERPRETED, reason="launches are looked at, not made")
@pytest.mark.parametrize("overwritten", [False, True])
def test_draws_stay_on_the_device(launched: set[str], overwritten: bool) -> None:
    params = SamplingParams(
        max_tokens=4, temperature=0.5, top_p=0.9, presence_penalty=0.2, logit_bias={3: 1.0}, min_tokens=2
    )
    request, nothing, masked = Request(request_id="r", prompt=(1, 2), sampling=params), None, Half()
    any_text: Any = nothing
    any_state: Any = masked
    sequence = EngineSequence(request, 0, [1, 2, 5], any_text, None, None)
    rows = [DrawRow(sequence, params, 3, None), DrawRow(sequence, params, 3, any_state)]
    raw = torch.empty((2, 100), device=DEVICE)
    draws = DeviceDraws(raw, rows, [0], overwritten=overwritten)
    assert draws.adjusted.device == draws.chosen.device == DEVICE and draws.adjusted is not raw
    assert (draws.raw is raw) != overwritten, "kept for the constraint's later draws"
    assert {"_adjust", "_draw"} <= launched
