"""The engine process with vLLM in it (``python -m dovetail.serve.vllm_worker``): wires AsyncLLM to a model directory and runs it.

What worker.py is for the native engine. vLLM's own processes are children of this one.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.headers import stored_weights
from dovetail.models.outline import outline_of
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.engine.process.worker import run_worker
from dovetail.serve.engine.vllm.arguments import VllmSettings, engine_arguments
from dovetail.serve.engine.vllm.core import LoopThread, VllmCore
from dovetail.serve.engine.vllm.versions import InstalledVllm
from dovetail.serve.errors import ModelError
from dovetail.serve.logs import configure_logging
from dovetail.serve.types import ModelInfo
from dovetail.serve.worker import constraint_compiler

_QUIET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "VLLM_CONFIGURE_LOGGING": "1"}


class VllmWorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the API process tells this process on the command line, as JSON. ``device``: for the card."""

    settings: VllmSettings
    device: str = "vllm"
    debug: bool = False
    log_format: Literal["text", "json"] = "text"

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and output together."""
        return self.settings.max_model_len


def load_vllm(config: VllmWorkerConfig, progress: Callable[[float, str], None]) -> VllmCore:
    """vLLM over ``config.settings.model``; raises ModelError when it cannot be served."""
    progress(0.0, "starting vLLM")
    for name, value in {**_QUIET, "VLLM_LOGGING_LEVEL": "DEBUG" if config.debug else "WARNING"}.items():
        os.environ.setdefault(name, value)
    settings = config.settings
    path = Path(settings.model)
    try:
        tokenizer = Tokenizer.load(path)
        outline = outline_of(path)
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    vllm = InstalledVllm()
    arguments = engine_arguments(settings, vllm.argument_names)
    progress(0.1, f"vLLM {vllm.version} loads the model")
    thread = LoopThread()
    backend = thread.run(lambda: vllm.start(arguments))
    size = min(tokenizer.size, outline.vocab_size)
    stored = stored_weights(path)
    info = ModelInfo(
        architecture=outline.architecture,
        parameters=stored.parameters,
        weight_bytes=stored.nbytes,
        dtype=backend.dtype,
        vocab_size=size,
        max_model_len=settings.max_model_len,
        kernels=f"vLLM {vllm.version}",
    )
    compile_constraint = constraint_compiler(tokenizer, size)
    return VllmCore(backend, thread, tokenizer, compile_constraint, info, adapters=settings.adapters)


def main() -> int:
    """Entry point: ``vllm_worker CONFIG_JSON ZMQ_ADDRESS``."""
    faulthandler.enable()
    # In a process group of its own (wiring.py): Ctrl-C does not reach vLLM's processes, and none of them outlives this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = msgspec.json.decode(sys.argv[1].encode(), type=VllmWorkerConfig)
    configure_logging("debug" if config.debug else "info", config.log_format, process="engine")
    loaded: list[VllmCore] = []

    def load(progress: Callable[[float, str], None]) -> VllmCore:
        loaded.append(load_vllm(config, progress))
        return loaded[0]

    try:
        return run_worker(sys.argv[2], load, debug=config.debug)
    finally:
        for core in loaded:
            core.close()


if __name__ == "__main__":
    sys.exit(main())
