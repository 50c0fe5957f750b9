"""From `--add-model` to one configuration for each model; and two models and an embedder behind one server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from gguf_checkpoint import write_gguf
from peft_adapter import write_adapter
from tiny import write_tiny_checkpoint
from transformers import AutoModel, AutoTokenizer

from dovetail.serve.config.servable import require_model
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import ModelError
from dovetail.serve.hosting import adapters_of, in_directories, model_configs, name_of, served_model, worker_configs

SERVE = [sys.executable, "-m", "dovetail.serve.cli", "serve"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_tiny_checkpoint(root / "large")
    embedder = write_tiny_checkpoint(root / "embedder", "qwen3", max_position_embeddings=256)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    (embedder / "modules.json").write_text(json.dumps(listed))
    (embedder / "1_Pooling").mkdir()
    (embedder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    for seed, name in enumerate(("sql", "later"), 1):
        write_adapter(root / "adapters" / name, root / "large", seed=seed)
    (embedder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return root


def test_added_models_have_settings_of_their_own(folders: Path) -> None:
    text = f"small={folders}/embedder:quantize=int8:max-model-len=128"
    config = ServerConfig(model=folders / "large", add_model=(text,), quantize="int4", model_alias=("gpt-*",))
    first, second = model_configs(config)
    assert first is config
    assert (second.model, second.model_name) == (folders / "embedder", "small")
    assert (second.quantize, second.max_model_len, second.model_alias) == ("int8", 128, ())
    assert [name_of(each) for each in (first, second)] == ["large", "small"]
    workers = worker_configs([first, second])
    assert [worker.max_model_len for worker in workers] == [2048, 128]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("small", "is not NAME=DIR"),
        ("=/x", "is not NAME=DIR"),
        ("a b=/x", "is not NAME=DIR"),
        ("small=/nowhere", r"\(--add-model\) small: /nowhere is no model directory"),
        ("small={root}/large,more=/x", "give the option once for each: --add-model small=.*/large --add-model more=/x"),
        ("small={root}/large:port=1", "'port=1' is no setting of small"),
        ("small={root}/large:quantize", "is no setting"),
        ("small={root}/large:quantize=int3", r"quantize \(--quantize\) must be one of"),
        ("large={root}/embedder", "large is the name of two models"),
    ],
)
def test_what_cannot_be_added_is_named(folders: Path, text: str, said: str) -> None:
    config = ServerConfig(model=folders / "large", add_model=(text.format(root=folders),))
    with pytest.raises(ConfigError, match=said):
        model_configs(config)


@pytest.fixture(scope="module")
def server(folders: Path) -> Iterator[httpx.Client]:
    arguments = [str(folders / "large"), "--add-model", f"embedder={folders / 'embedder'}", "--idle-unload", "1"]
    arguments += ["--lora", f"sql={folders / 'adapters' / 'sql'}", "--lora-folder", str(folders / "adapters")]
    arguments += ["--admin", f"unix:{folders / 'admin'}", "--embeddings", "last"]
    command = [*SERVE, *arguments, "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "url=" in line)
        url = told.split("url=")[1].split()[0]
        with httpx.Client(base_url=url, timeout=60) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_two_models_behind_one_server(server: httpx.Client, folders: Path) -> None:
    entries = {each["id"]: each for each in server.get("/v1/models").json()["data"]}
    assert list(entries) == ["large", "embedder", "sql"]
    assert entries["sql"]["parent"] == "large"
    assert entries["embedder"]["capabilities"] == ["embeddings"]
    assert (entries["embedder"]["license"], entries["embedder"]["context_length"]) == ("apache-2.0", 256)
    assert {"chat", "embeddings"} < set(entries["large"]["capabilities"])
    written = server.post("/v1/completions", json={"model": "large", "prompt": "def", "max_tokens": 5}).json()
    assert written["usage"]["completion_tokens"] <= 5
    texts = ["def add(a, b):\n    return a + b\n", "x"]
    tokenizer = AutoTokenizer.from_pretrained(folders / "embedder")
    reference = AutoModel.from_pretrained(folders / "embedder", dtype=torch.float32).eval()
    wanted = []
    with torch.no_grad():
        for text in texts:
            mean = reference(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0].mean(0)
            wanted.append((mean / mean.norm()).numpy())
    for _ in range(2):  # the second time it has been unloaded meanwhile
        answer = server.post("/v1/embeddings", json={"model": "embedder", "input": texts}).json()
        found = [each["embedding"] for each in answer["data"]]
        np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-5)
        time.sleep(1.5)
    answer = server.post("/v1/embeddings", json={"model": "large", "input": "x", "dimensions": 8}).json()
    assert abs(np.linalg.norm(answer["data"][0]["embedding"]) - 1) < 1e-6


def test_adapters_at_start_and_at_run_time(server: httpx.Client, folders: Path) -> None:
    def said(model: str) -> str:
        body = {"model": model, "prompt": "def add(", "max_tokens": 12, "temperature": 0}
        return str(server.post("/v1/completions", json=body).json()["choices"][0]["text"])

    transport = httpx.HTTPTransport(uds=str(folders / "admin"))
    with httpx.Client(transport=transport, base_url="http://admin") as admin:
        loaded = admin.post("/v1/load_lora_adapter", json={"lora_name": "late", "lora_path": "later"})
        assert loaded.status_code == 200, loaded.text
        assert len({said("large"), said("sql"), said("late")}) == 3
        assert admin.post("/v1/unload_lora_adapter", json={"lora_name": "late"}).status_code == 200
    assert server.post("/v1/completions", json={"model": "late", "prompt": "a"}).status_code == 404


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sql={root}/large", "holds no adapter_config.json"),
        ("sql={root}/adapters/sql:model=other", "is for 'other', which is not served"),
        ("large={root}/adapters/sql", "two models named 'large'"),
        ("sql", "is not NAME=DIR"),
    ],
)
def test_adapters_that_cannot_be_had_are_named(folders: Path, text: str, said: str) -> None:
    config = ServerConfig(model=folders / "large", lora=(text.format(root=folders),))
    with pytest.raises(ConfigError, match=said):
        adapters_of(config, ["large"])
    good = f"sql={folders}/adapters/sql:model=small"
    assert adapters_of(ServerConfig(lora=(good,)), ["large", "small"])["small"] == {"sql": folders / "adapters" / "sql"}


def test_a_gguf_file_is_served_as_a_directory_that_is_gone_afterwards(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", layers=1)
    path = write_gguf(tmp_path / "tiny.Q8_0.gguf", checkpoint, {"": "Q8_0"})
    given = ServerConfig(model=path, add_model=(f"second={path}",))
    require_model(path, "model")
    with ExitStack() as stack:
        first, second = in_directories(model_configs(given), stack)
        assert (name_of(given), name_of(first), name_of(second)) == ("tiny.Q8_0", "tiny.Q8_0", "second")
        worker = worker_configs([first, second])[0]
        served = served_model(first, worker)
        assert (served.name, served.max_model_len, served.licence) == ("tiny.Q8_0", 2048, "")
        assert served.render_chat is not None and served.capabilities == ("completions", "chat", "edits")
        folder = Path(worker.model)
        assert folder.is_dir() and folder != path
    assert not folder.exists()
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with ExitStack() as stack, pytest.raises(ModelError, match="ends in the middle"):
        in_directories([ServerConfig(model=tmp_path / "bad.gguf")], stack)
