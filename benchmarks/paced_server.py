"""``dovetail serve`` before an engine process that runs no model: every running request gets one token per step, in step.

    python benchmarks/paced_server.py PORT STEP_MS [FILE]

What it costs to serve is then the cost of the API process alone. A request with ``priority`` ``IDLE`` gets no token at all, one
with ``CODE`` a program in a fence, again and again. ``FILE``: more of the configuration, as ``dovetail serve --config`` takes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from pathlib import Path

from dovetail.models.embedded import WEIGHTS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.config.sources import load_config
from dovetail.serve.engine.process.worker import Core, run_worker
from dovetail.serve.types import Event, FinishEvent, ModelInfo, Request, Stats, TokensEvent, Usage
from dovetail.serve.wiring import run_server

IDLE = 99
CODE = 98
WORD = " token"
PROGRAM = (
    *("```", "python\n", "def", " total", "(", "values", ",", " scale", "=", "1", ")", ":\n", "   "),
    *(" found", " =", " [", "each", " *", " scale", " for", " each", " in", " values", "]\n"),
    *("    return", " sum", "(", "found", ")\n", "``", "`\n\n"),
)
"""The pieces of an answer, one a token."""


class PacedCore:
    """One token for each request every ``step_s`` seconds."""

    info = ModelInfo(
        architecture="Paced", parameters=0, weight_bytes=0, dtype="none", vocab_size=0, max_model_len=65536
    )

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._next = time.monotonic()
        self._left: dict[str, int] = {}
        self._texts: dict[str, Iterator[str]] = {}
        self._idle: set[str] = set()
        self._token = Tokenizer.load(WEIGHTS).encode(WORD)[0]

    @property
    def busy(self) -> bool:
        """Whether a token is to come."""
        return bool(self._left)

    def add(self, request: Request) -> list[Event]:
        """Take a request."""
        if request.priority == IDLE:
            self._idle.add(request.request_id)
        else:
            self._left[request.request_id] = request.sampling.max_tokens
            self._texts[request.request_id] = cycle(PROGRAM) if request.priority == CODE else repeat(WORD)
        return []

    def cancel(self, request_id: str) -> None:
        """Forget a request."""
        self._left.pop(request_id, None)
        self._texts.pop(request_id, None)
        self._idle.discard(request_id)

    def step(self) -> list[Event]:
        """Wait for the next step's time; a token for everybody."""
        self._next = max(self._next + self._step_s, time.monotonic())
        time.sleep(max(0.0, self._next - time.monotonic()))
        events: list[Event] = []
        for request_id in list(self._left):
            self._left[request_id] -= 1
            text = next(self._texts[request_id])
            events.append(TokensEvent(request_id=request_id, tokens=(self._token,), text=text, origins=("sampled",)))
            if not self._left[request_id]:
                del self._left[request_id], self._texts[request_id]
                events.append(FinishEvent(request_id=request_id, reason="length", usage=Usage(completion_tokens=1)))
        return events

    def stats(self) -> Stats:
        """What is running and waiting."""
        return Stats(running=len(self._left), waiting=len(self._idle))

    def check(self) -> None:
        """Nothing to check."""


def load(step_s: float) -> Callable[[Callable[[float, str], None]], Core]:
    """A loader as run_worker takes it."""
    return lambda progress: PacedCore(step_s)


def main() -> int:
    """Serve, or be the engine process of a server that does."""
    if sys.argv[1] == "worker":
        return run_worker(sys.argv[3], load(float(sys.argv[2]) / 1e3))
    flags = {"port": int(sys.argv[1]), "model_name": "coder", "max_model_len": 65_536, "log_level": "warning"}
    config = load_config(flags, {}, Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    run_server(config, lambda _, __: None, engine=[sys.executable, __file__, "worker", sys.argv[2]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
