"""A worker without a model, run as a child process by test_process.py: emits a token per step until max_tokens.

Behaviour by argument: ``ok``, ``fail`` (the model cannot be loaded), ``die`` (exits while loading), ``huge`` (no memory for
it). A request named ``hang`` stops it, one named ``glutton`` takes all memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from dovetail.serve.engine.process.worker import Core, run_worker
from dovetail.serve.errors import ModelError, UserError
from dovetail.serve.types import Event, FinishEvent, ModelInfo, Request, Stats, TokensEvent, Usage


class Countdown:
    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self.adapters: dict[str, str] = {}

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            architecture=str(os.getpid()), parameters=0, weight_bytes=0, dtype="none", vocab_size=8, max_model_len=8
        )

    @property
    def busy(self) -> bool:
        return bool(self.left)

    def add(self, request: Request) -> list[Event]:
        self.left[request.request_id] = request.sampling.max_tokens
        return []

    def load_adapter(self, name: str, path: str) -> None:
        if path == "hang":
            time.sleep(3600)
        if path == "bad":
            raise UserError("it does not fit")
        self.adapters[name] = path

    def unload_adapter(self, name: str) -> None:
        del self.adapters[name]

    def cancel(self, request_id: str) -> None:
        self.left.pop(request_id, None)

    def step(self) -> list[Event]:
        time.sleep(3600 if "hang" in self.left else 0.005)
        if "glutton" in self.left:
            raise MemoryError
        events: list[Event] = []
        for name in list(self.left):
            self.left[name] -= 1
            events.append(
                TokensEvent(request_id=name, tokens=(1,), text="".join(self.adapters) or "x", origins=("sampled",))
            )
            if not self.left[name]:
                del self.left[name]
                events.append(FinishEvent(request_id=name, reason="length", usage=Usage()))
        return events

    def check(self) -> None:
        assert not self.left

    def stats(self) -> Stats:
        return Stats(running=len(self.left))


def load(behaviour: str) -> Core:
    if behaviour == "fail":
        raise ModelError("config.json is missing")
    if behaviour == "huge":
        raise MemoryError
    if behaviour == "die":
        os._exit(7)
    if behaviour.startswith("parent of "):
        child = subprocess.Popen(["sleep", "3600"])
        Path(behaviour.removeprefix("parent of ")).write_text(str(child.pid))
    return Countdown()


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[2], lambda progress: (progress(0.5, "half"), load(sys.argv[1]))[1], debug=True))
