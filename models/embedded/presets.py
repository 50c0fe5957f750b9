"""What a training run is on which kind of machine: budget, sizes of the network, rows of a step. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dovetail.models.embedded.shape import Shape

Rows = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Preset:
    """One kind of run. ``rows``: (rows, length) of the usual step and of every fifth; ``makers``: processes that make batches."""

    minutes: float
    rows: Rows
    device: str = "cpu"
    shape: Shape = field(default_factory=Shape)
    makers: int = 0
    compile: bool = True


PRESETS: Final = {
    "cpu": Preset(120.0, ((10, 512), (5, 1024))),
    # 30.6 million parameters: 61 MB in bf16. Not run yet: see the README.
    "gpu": Preset(
        20.0,
        ((96, 512), (48, 1024)),
        "cuda",
        Shape(width=512, layers=10, heads=8, kv_heads=4, hidden=1344),
        makers=12,
    ),
}
