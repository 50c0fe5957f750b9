"""What ``dovetail serve --engine vllm`` tells its engine process, of models that the native engine has and of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peft_adapter import write_adapter
from tiny import write_tiny_checkpoint

from dovetail.serve.config.server import ServerConfig
from dovetail.serve.doctor.model import models
from dovetail.serve.errors import ModelError
from dovetail.serve.hosting import engine_command, served_model, worker_configs
from dovetail.serve.vllm_worker import VllmWorkerConfig


def changed(directory: Path, **values: Any) -> Path:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **values}))
    return directory


def told(directory: Path, **settings: Any) -> VllmWorkerConfig:
    config = ServerConfig(model=directory, engine="vllm", **settings)
    [worker] = worker_configs([config])
    assert isinstance(worker, VllmWorkerConfig)
    return worker


def test_an_architecture_that_only_vllm_has(install: Callable[..., None], tmp_path: Path) -> None:
    install()
    directory = changed(write_tiny_checkpoint(tmp_path / "model"), architectures=["MambaForCausalLM"])
    with pytest.raises(ModelError, match="dovetail serve --engine vllm"):
        worker_configs([ServerConfig(model=directory)])
    worker = told(directory, tensor_parallel_size=2, engine_arg=("enforce_eager=true",))
    assert worker.settings.tensor_parallel_size == 2
    assert worker.max_model_len == 2048
    served = served_model(ServerConfig(model=directory, engine="vllm"), worker)
    assert (served.max_model_len, served.predicts, served.embedding) == (2048, False, None)
    command = engine_command(worker)
    assert "dovetail.serve.vllm_worker" in command and "-P" in command


def test_the_doctor_looks_at_it_as_it_would_be_served(install: Callable[..., None], tmp_path: Path) -> None:
    directory = changed(write_tiny_checkpoint(tmp_path / "model"), architectures=["MambaForCausalLM"])
    config = ServerConfig(model=directory, engine="vllm")
    install()
    first, *_ = models(config)
    assert (first.state, first.said) == ("good", "model on vllm, 2,048 tokens of context")
    install(None)
    first, *_ = models(config)
    assert first.state == "bad" and "pip install" in first.said


def test_the_window_is_looked_for_where_configurations_have_it(install: Callable[..., None], tmp_path: Path) -> None:
    install()
    directory = write_tiny_checkpoint(tmp_path / "model")
    assert told(changed(directory, max_position_embeddings=None, n_positions=77)).max_model_len == 77
    assert told(changed(directory, text_config={"n_ctx": 55}, n_positions=None)).max_model_len == 55
    with pytest.raises(ModelError, match="made for 55 positions"):
        told(directory, max_model_len=2000)
    changed(directory, text_config=None)
    with pytest.raises(ModelError, match="--max-model-len"):
        told(directory)
    assert told(directory, max_model_len=99).max_model_len == 99


def test_adapters_are_expected_as_wide_as_they_are(install: Callable[..., None], tmp_path: Path) -> None:
    install()
    directory = write_tiny_checkpoint(tmp_path / "model")
    adapter = write_adapter(tmp_path / "sql", directory, rank=20)
    assert not told(directory).settings.adapters
    assert told(directory, lora_folder=tmp_path).settings.adapters
    settings = told(directory, lora=(f"sql={adapter}",)).settings
    assert (settings.adapters, settings.adapter_rank) == (True, 32)


def test_what_vllm_is_not_given(install: Callable[..., None], tmp_path: Path) -> None:
    install("0.20.0")
    directory = write_tiny_checkpoint(tmp_path / "model")
    with pytest.raises(ModelError, match=r"0\.26 to 0\.33"):
        told(directory)
    install()
    (directory / "modules.json").write_text(
        json.dumps(
            [
                {"path": "", "type": "sentence_transformers.models.Transformer"},
                {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            ]
        )
    )
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    with pytest.raises(ModelError, match="makes no embeddings"):
        served_model(ServerConfig(model=directory, engine="vllm"), told(directory))
