"""The engine process: wires the native engine to a model directory and runs it (``python -m dovetail.serve.worker``).

One of the two places that may import everything (the other is wiring.py, for the API process).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from dovetail.serve.constrain.base import CompileConstraint, Constraint
from dovetail.serve.engine.process.breadcrumb import Breadcrumb, beside
from dovetail.serve.engine.process.worker import Core, run_worker
from dovetail.serve.errors import ModelError
from dovetail.serve.logs import configure_logging
from dovetail.serve.types import CarrierSpec, ConstraintSpec, EditSpec

if TYPE_CHECKING:
    from dovetail.models.tokenizer import Tokenizer


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the API process tells its engine process on the command line, as JSON. Sizes as in NativeSettings."""

    model: str
    dtype: str
    quantize: Literal["int8", "int4", "fp8"] | None
    device: str
    threads: int | None
    max_model_len: int
    kv_blocks: int
    block_size: int
    max_num_seqs: int
    max_batched_tokens: int
    max_draft: int = 32
    deterministic: bool = False
    graphs: bool = True
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    kv_offload_memory: int = 0
    kv_offload_disk: str | None = None
    kv_offload_disk_size: int = 0
    debug: bool = False
    log_format: Literal["text", "json"] = "text"


def load_native(
    config: WorkerConfig, progress: Callable[[float, str], None], note: Callable[[str], None] = lambda text: None
) -> Core:
    """The native engine over ``config.model``; raises ModelError when the directory cannot be served, MemoryError when it does
    not fit."""
    progress(0.0, "starting torch")
    import torch

    from dovetail.models.errors import ModelDirectoryError
    from dovetail.models.loader import FP8_CAPABILITY, load_model
    from dovetail.models.tokenizer import Tokenizer
    from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
    from dovetail.serve.engine.native.memory import memory_errors
    from dovetail.serve.engine.native.usual import UsualSoon

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if config.device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("--device cuda was asked for, but torch finds no CUDA device here; use --device cpu")
    if config.kv_cache_dtype == "fp8" and torch.cuda.get_device_capability(config.device) < FP8_CAPABILITY:
        raise ModelError("--kv-cache-dtype fp8 needs a GPU of compute capability 8.9 or newer; leave it out here")
    path = Path(config.model)
    try:
        tokenizer = Tokenizer.load(path)
        dtype: torch.dtype | Literal["auto"] = "auto" if config.dtype == "auto" else getattr(torch, config.dtype)
        with memory_errors():
            model = load_model(
                path,
                dtype=dtype,
                quantize=config.quantize,
                device=config.device,
                max_model_len=config.max_model_len,
                deterministic=config.deterministic,
                progress=progress,
            )
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    settings = NativeSettings(
        max_model_len=config.max_model_len,
        kv_blocks=config.kv_blocks,
        block_size=config.block_size,
        max_num_seqs=config.max_num_seqs,
        max_batched_tokens=config.max_batched_tokens,
        max_draft=config.max_draft,
        graphs=config.graphs,
        narrow_cache=config.kv_cache_dtype == "fp8",
        host_memory=config.kv_offload_memory,
        disk_folder=Path(config.kv_offload_disk) if config.kv_offload_disk is not None else None,
        disk_memory=config.kv_offload_disk_size,
    )
    size = min(tokenizer.size, model.config.vocab_size)
    compile_constraint = constraint_compiler(tokenizer, size)
    usual = (
        UsualSoon(tokenizer.encode, [tokenizer.token_bytes(token) for token in range(size)])
        if config.max_draft
        else None
    )
    with memory_errors():
        return NativeEngine(model, tokenizer, settings, compile_constraint, note, usual=usual)


def constraint_compiler(tokenizer: Tokenizer, size: int) -> CompileConstraint:
    """What compiles constraints over the first ``size`` tokens of a vocabulary."""
    from dovetail.serve.constrain.grammar.compile import compile_grammar
    from dovetail.serve.constrain.grammar.threads import GrammarThreads
    from dovetail.serve.constrain.vocabulary import Vocabulary
    from dovetail.serve.edit.carrier.compile import compile_carrier
    from dovetail.serve.edit.compile import compile_edit
    from dovetail.serve.edit.gate_worker import edit_gates

    vocabulary = Vocabulary([tokenizer.token_bytes(token) for token in range(size)], tokenizer.encode)
    grammars, preparing = GrammarThreads(), GrammarThreads(1)
    gates = edit_gates()

    def compile_constraint(spec: ConstraintSpec) -> Constraint | Future[Constraint]:
        if isinstance(spec, EditSpec):
            return compile_edit(spec, vocabulary, gates)
        if isinstance(spec, CarrierSpec):
            return grammars.submit(partial(compile_carrier, spec, vocabulary, preparing.submit, gates))
        return grammars.submit(partial(compile_grammar, spec, vocabulary))

    return compile_constraint


def main() -> int:
    """Entry point: ``worker CONFIG_JSON ZMQ_ADDRESS``."""
    # Threads that spin while they wait cost a factor of 20 as soon as anything else runs on the same cores (docs/log.md);
    # read by the OpenMP runtime when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API process decides
    config = msgspec.json.decode(sys.argv[1].encode(), type=WorkerConfig)
    configure_logging("debug" if config.debug else "info", config.log_format, process="engine")
    crumb = Breadcrumb(beside(sys.argv[2]))
    return run_worker(sys.argv[2], lambda progress: load_native(config, progress, crumb.note), debug=config.debug)


if __name__ == "__main__":
    sys.exit(main())
