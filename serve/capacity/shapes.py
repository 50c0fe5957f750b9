"""What the estimate needs of a model and of a machine, and the ones it knows by name. Measures nothing.

Models are shapes that their makers publish in config.json; machines are vendors' data sheets (dense matrix rates, no sparsity).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

GB = 1e9
BYTES_PER_WEIGHT: Mapping[str, float] = {"bf16": 2.0, "fp8": 1.0, "int8": 1.03, "int4": 0.625}
"""With scales and offsets."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """``active``: parameters that one token is multiplied with; fewer than all where the model chooses experts."""

    name: str
    parameters: float
    active: float
    layers: int
    kv_width: int
    """Numbers of one token's keys (values have the same) in one layer."""
    weight_bytes: float = 2.0
    kv_bytes: float = 2.0

    @property
    def bytes(self) -> float:
        """Of all weights."""
        return self.parameters * self.weight_bytes

    @property
    def kv_per_token(self) -> float:
        """Bytes of one token's keys and values."""
        return 2.0 * self.layers * self.kv_width * self.kv_bytes

    def stored(self, weights: str, kv: str = "bf16") -> Model:
        """The same, stored in another way."""
        return replace(self, weight_bytes=BYTES_PER_WEIGHT[weights], kv_bytes=BYTES_PER_WEIGHT[kv])


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One accelerator. ``bandwidth`` in bytes/s, ``rate`` in floating-point operations/s, ``memory`` in bytes.

    ``reads``, ``computes``: the shares of both that an engine reaches, the latter for prompts; ``decodes``: for the few rows of a
    decoding step; ``overlaps``: whether computing hides behind reading; ``step_s``: what a step costs beside them; ``link``: bytes/s
    to another of the same kind, for tensor parallelism.
    """

    name: str
    memory: float
    bandwidth: float
    rate: float
    link: float = 0.0
    reads: float = 0.75
    computes: float = 0.55
    decodes: float = 0.55
    overlaps: bool = True
    step_s: float = 0.0004

    def several(self, count: int) -> Machine:
        """``count`` of them as one, by tensor parallelism: a tenth is lost with each doubling, more without a fast link."""
        if count == 1:
            return self
        doublings = count.bit_length() - 1
        kept = (0.9 if self.link >= 200 * GB else 0.75) ** doublings
        return replace(
            self,
            name=f"{count} x {self.name}",
            memory=self.memory * count,
            bandwidth=self.bandwidth * count * kept,
            rate=self.rate * count * kept,
        )


def _dense(name: str, billions: float, layers: int, kv_width: int) -> Model:
    return Model(name=name, parameters=billions * 1e9, active=billions * 1e9, layers=layers, kv_width=kv_width)


MODELS: Mapping[str, Model] = {
    each.name: each
    for each in (
        _dense("0.5b", 0.494, 24, 128),
        _dense("1.5b", 1.54, 28, 256),
        _dense("3b", 3.09, 36, 256),
        _dense("7b", 7.62, 28, 512),
        _dense("14b", 14.8, 48, 1024),
        _dense("24b", 23.6, 40, 1024),
        _dense("32b", 32.8, 64, 1024),
        _dense("70b", 70.6, 80, 1024),
        Model(name="30b-a3b", parameters=30.5e9, active=3.3e9, layers=48, kv_width=512),
        Model(name="480b-a35b", parameters=480e9, active=35e9, layers=62, kv_width=1024),
    )
}
"""Shapes of Qwen2.5-Coder (0.5b to 32b), Devstral Small (24b), Llama 3 (70b) and Qwen3-Coder (30b-a3b, 480b-a35b)."""

MACHINES: Mapping[str, Machine] = {
    each.name: each
    for each in (
        Machine(name="h200", memory=141 * GB, bandwidth=4800 * GB, rate=989e12, link=450 * GB),
        Machine(name="h100", memory=80 * GB, bandwidth=3350 * GB, rate=989e12, link=450 * GB),
        Machine(name="b200", memory=180 * GB, bandwidth=8000 * GB, rate=2250e12, link=900 * GB),
        Machine(name="a100", memory=80 * GB, bandwidth=2039 * GB, rate=312e12, link=300 * GB),
        Machine(name="l40s", memory=48 * GB, bandwidth=864 * GB, rate=362e12, link=32 * GB),
        Machine(name="rtx4090", memory=24 * GB, bandwidth=1008 * GB, rate=165e12, link=32 * GB),
        Machine(name="mi300x", memory=192 * GB, bandwidth=5300 * GB, rate=1307e12, link=448 * GB),
    )
}
