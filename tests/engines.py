"""The engines that a server can be started with in tests: what to tell ``dovetail serve``, and how long that may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """``flags``: of ``dovetail serve``; ``process``: what the engine process is called; ``start_s``: until it is ready."""

    name: str
    flags: tuple[str, ...]
    process: str
    start_s: float


_ENGINES = {
    "native": Engine("native", ("--threads", "1"), "dovetail.serve.worker", 60),
    "vllm": Engine(
        "vllm", ("--engine", "vllm", "--engine-arg", "enforce_eager=true"), "dovetail.serve.vllm_worker", 600
    ),
}


def engine_named(name: str) -> Engine:
    """The engine of this name."""
    return _ENGINES[name]
