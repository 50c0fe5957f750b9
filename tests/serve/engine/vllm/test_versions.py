"""Which vLLM is taken, what is said of others, and which of its arguments are passed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import Engine

from dovetail.serve.engine.vllm.arguments import OWN, REFUSED, VllmSettings, engine_arguments, extra_arguments
from dovetail.serve.engine.vllm.core import LoopThread
from dovetail.serve.engine.vllm.sampling import none_of, one_of, sampling_of
from dovetail.serve.engine.vllm.versions import InstalledVllm, installed_version
from dovetail.serve.errors import ModelError
from dovetail.serve.types import SamplingParams

NAMED = frozenset(
    [
        "quantization",
        "block_size",
        "speculative_config",
        "kv_cache_memory_bytes",
        "gpu_memory_utilization",
        "kv_cache_dtype",
        "kv_offloading_size",
        "enforce_eager",
        "enable_chunked_prefill",
        "nnodes",
        "node_rank",
        "master_addr",
        "master_port",
        "distributed_executor_backend",
    ]
)
"""What documentation and refusals name."""
KNOWN = frozenset({"enforce_eager", "gpu_memory_utilization", "speculative_config", "trust_remote_code", "dtype"})


@pytest.mark.parametrize("version", ["0.26.0", "0.28.1", "0.32.0+cpu", "0.33.0"])
def test_versions_in_the_range_are_taken(install: Callable[..., None], version: str) -> None:
    install(version)
    assert installed_version() == version


@pytest.mark.parametrize("version", ["0.25.1", "0.34.0", "1.0", "dev"])
def test_others_are_refused_with_the_range(install: Callable[..., None], version: str) -> None:
    install(version)
    with pytest.raises(ModelError, match=r"0\.26 to 0\.33"):
        installed_version()


@pytest.mark.any_engine
@pytest.mark.filterwarnings("default")  # what vLLM and torch say of themselves
def test_the_installed_version_has_every_name_that_is_used_of_it(engine: Engine) -> None:
    if engine.name == "native":
        pytest.skip("make test-vllm has the real one")
    vllm = InstalledVllm()
    assert vllm.argument_names >= OWN.keys() | REFUSED.keys() | NAMED
    settings = VllmSettings(
        model="m", dtype="auto", max_model_len=64, max_num_seqs=2, max_batched_tokens=64, adapters=True
    )
    assert engine_arguments(settings, vllm.argument_names)["enable_lora"]
    whole = sampling_of(SamplingParams(max_tokens=4, seed=7, logit_bias={3: 1.0}), vocab_size=10, stop_ids=(1,))
    for asked in (whole, one_of(whole, [1, 2]), none_of(whole, [4], 8)):
        told = vllm.sampling_params(asked)
        assert {name: getattr(told, name) for name in asked} == asked
    assert {error.__name__ for error in vllm.client_errors} >= {"ValueError", "VLLMValidationError"}
    assert issubclass(vllm.dead, Exception) and not issubclass(vllm.dead, vllm.client_errors)


def test_where_there_is_none_it_says_how_to_get_it(install: Callable[..., None]) -> None:
    install(None)
    with pytest.raises(ModelError, match="pip install"):
        InstalledVllm()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gpu_memory_utilisation=0.5", "near: gpu_memory_utilization"),
        ("xyzzy=1", "no such engine argument$"),
        ("trust_remote_code=true", "no code of a model directory"),
        ("dtype=float16", "--dtype"),
        ("tensor-parallel-size=2", "--tensor-parallel-size"),
    ],
)
def test_arguments_that_are_not_passed_on(written: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        extra_arguments([written], KNOWN)


def test_arguments_that_are() -> None:
    written = ["enforce-eager=true", "gpu_memory_utilization=0.5", 'speculative_config={"method": "ngram"}']
    assert extra_arguments(written, KNOWN) == {
        "enforce_eager": True,
        "gpu_memory_utilization": 0.5,
        "speculative_config": {"method": "ngram"},
    }


def settings(**changed: Any) -> VllmSettings:
    own = {"model": "m", "dtype": "auto", "max_model_len": 1024, "max_num_seqs": 8, "max_batched_tokens": 64}
    return VllmSettings(**{**own, **changed})


def test_a_version_without_what_is_needed_is_named() -> None:
    with pytest.raises(ModelError, match="scheduling_policy"):
        engine_arguments(settings(), KNOWN)


@pytest.mark.parametrize("cpu", [False, True])
def test_prompts_are_computed_whole_on_a_cpu(install: Callable[..., None], checkpoint: Path, cpu: bool) -> None:
    install(cpu=cpu)
    vllm = InstalledVllm()
    wanted = settings(model=str(checkpoint), tensor_parallel_size=2, adapters=True, adapter_rank=64)
    arguments = engine_arguments(wanted, vllm.argument_names)
    thread = LoopThread()
    backend = thread.run(lambda: vllm.start(arguments))
    args = backend._engine.args
    assert (args.enable_chunked_prefill, args.max_num_batched_tokens) == ((False, 1024) if cpu else (None, 64))
    assert (args.tensor_parallel_size, args.enable_lora, args.max_lora_rank) == (2, True, 64)
    thread.close()


def test_what_keeps_a_model_from_loading_is_told(install: Callable[..., None]) -> None:
    install()
    vllm = InstalledVllm()
    thread = LoopThread()
    arguments = engine_arguments(settings(model="broken"), vllm.argument_names)
    with pytest.raises(ModelError, match="the weights are damaged"):
        thread.run(lambda: vllm.start(arguments))
    thread.close()
