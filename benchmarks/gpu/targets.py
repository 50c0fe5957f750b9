"""What is wanted of one H200, and whether a run's figures reach it. Knows the names of parts and figures, and no device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Mapping[str, Any]]


def _operator(name: str, figure: str = "share_of_ceiling") -> Callable[[Figures], float]:
    return lambda parts: parts["operators"][name][figure]  # type: ignore[no-any-return]


WANTED: tuple[tuple[str, Callable[[Figures], float], float], ...] = (
    ("attention, decoding: share of copy bandwidth", _operator("attention, decoding"), 0.80),
    ("add_rms_norm: share of copy bandwidth", _operator("add_rms_norm"), 0.85),
    ("silu_mul: share of copy bandwidth", _operator("silu_mul"), 0.85),
    ("prompt attention: share of torch's flash attention", _operator("attention, prompt", "share_of_torch"), 0.60),
    ("7b, one stream: share of copy bandwidth", lambda parts: parts["streams:7b"]["1"]["share_of_bandwidth"], 0.85),
    ("7b, 64 streams: tokens/s", lambda parts: parts["streams:7b"]["64"]["tokens_per_s"], 10_000),
    ("7b, prompt of 8k: share of matrix rate", lambda parts: parts["streams:7b"]["prompt"]["share_of_matrix_rate"], 0.55),
    ("7b, waits for the device in a step beside the one for tokens, at most",
     lambda parts: -parts["streams:7b"]["synchronisations"]["each_step"], 0.0),
    ("edits under constraints over free text, 32 streams", lambda parts: parts["edits:7b"]["constrained"]["over_plain"], 0.98),
    ("edits drafted over undrafted, 1 stream", lambda parts: parts["edits:7b"]["drafted, 1"]["over_undrafted"], 5.0),
    ("edits drafted over undrafted, 16 streams", lambda parts: parts["edits:7b"]["drafted, 16"]["over_undrafted"], 2.0),
    ("20k tokens come back from host memory: times faster than computed",
     lambda parts: parts["returning:7b"]["from host memory"]["times_faster"], 8.0),
)  # fmt: skip


def verdicts(parts: Figures) -> list[dict[str, Any]]:
    """One for every wanted figure that was measured."""
    found = []
    for name, figure, least in WANTED:
        try:
            value = figure(parts)
        except KeyError:
            continue
        found.append({"wanted": f"{name} (>= {least:g})", "found": value, "met": value >= least})
    return found
