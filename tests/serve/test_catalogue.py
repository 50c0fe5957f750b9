"""Which folders are models."""

from __future__ import annotations

import json
from pathlib import Path

from dovetail.serve.catalogue import find_models


def model(folder: Path, weights: int = 10) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (folder / "model.safetensors").write_bytes(b"x" * weights)
    return folder


def test_embedded_given_and_cached(tmp_path: Path) -> None:
    embedded = model(tmp_path / "embedded")
    below = model(tmp_path / "models" / "small")
    model(tmp_path / "hub" / "models--org--big" / "snapshots" / "abc", 30)
    (tmp_path / "models" / "notes").mkdir()
    broken = model(tmp_path / "models" / "broken")
    (broken / "config.json").write_text("{")
    (tmp_path / "models" / "one.Q4_0.gguf").write_bytes(b"GGUF")
    found = find_models(embedded, [tmp_path / "models", below], {"HF_HUB_CACHE": str(tmp_path / "hub")})
    names = [("embedded", 10), ("small", 10), ("org/big", 30), ("one.Q4_0", 4)]
    assert [(each.name, each.weight_bytes) for each in found] == names
    assert found[0].architecture == "LlamaForCausalLM"


def test_nothing_there(tmp_path: Path) -> None:
    assert find_models(tmp_path / "none", [], {"HOME": str(tmp_path)}) == []
