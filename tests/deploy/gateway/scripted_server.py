"""``dovetail serve`` before an engine process that runs no model, and that writes down what it begins and what it ends.

    python scripted_server.py PORT LOG STEP_MS

A request is known by its ``seed``; its answer is ``max_tokens`` tokens, one each step.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from dovetail.models.embedded import WEIGHTS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.engine.process.worker import Core, run_worker
from dovetail.serve.types import Event, FinishEvent, ModelInfo, Request, Stats, TokensEvent, Usage
from dovetail.serve.wiring import run_server

WORD = " token"
DRAIN_S = 20


class ScriptedCore:
    """A token for every request each step."""

    info = ModelInfo(
        architecture="Scripted", parameters=0, weight_bytes=0, dtype="none", vocab_size=0, max_model_len=4096
    )

    def __init__(self, log: str, step_s: float) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._step_s = step_s
        self._requests: dict[str, Request] = {}
        self._made: dict[str, int] = {}
        self._token = Tokenizer.load(WEIGHTS).encode(WORD)[0]

    @property
    def busy(self) -> bool:
        """Whether a token is to come."""
        return bool(self._requests)

    def add(self, request: Request) -> list[Event]:
        """Take a request."""
        self._write("begin", request)
        self._requests[request.request_id] = request
        self._made[request.request_id] = 0
        return []

    def cancel(self, request_id: str) -> None:
        """Forget a request."""
        request = self._requests.pop(request_id, None)
        if request is not None:
            self._write("cancel", request)

    def step(self) -> list[Event]:
        """A token for everybody."""
        time.sleep(self._step_s)
        events: list[Event] = []
        for request_id, request in list(self._requests.items()):
            self._made[request_id] += 1
            made = self._made[request_id]
            events.append(TokensEvent(request_id=request_id, tokens=(self._token,), text=WORD, origins=("sampled",)))
            if made == request.sampling.max_tokens:
                del self._requests[request_id]
                self._write("end", request)
                usage = Usage(prompt_tokens=len(request.prompt), completion_tokens=made, forward_passes=made)
                events.append(FinishEvent(request_id=request_id, reason="length", usage=usage))
        return events

    def stats(self) -> Stats:
        """What is running."""
        return Stats(running=len(self._requests))

    def check(self) -> None:
        """Nothing to check."""

    def _write(self, what: str, request: Request) -> None:
        os.write(self._log, f"{what} {request.sampling.seed}\n".encode())


def load(log: str, step_s: float) -> Callable[[Callable[[float, str], None]], Core]:
    """A loader as run_worker takes it."""
    return lambda progress: ScriptedCore(log, step_s)


def main() -> int:
    """Serve, or be the engine process of a server that does."""
    if sys.argv[1] == "worker":
        return run_worker(sys.argv[4], load(sys.argv[2], float(sys.argv[3]) / 1e3))
    port, log, step_ms = sys.argv[1:]
    config = ServerConfig(
        port=int(port), model_name="coder", max_model_len=4096, log_level="warning", drain_seconds=DRAIN_S
    )
    run_server(config, lambda _, __: None, engine=[sys.executable, __file__, "worker", log, step_ms])
    return 0


if __name__ == "__main__":
    sys.exit(main())
