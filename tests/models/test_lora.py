"""LoRA adapters against weights that have them merged in; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft_adapter import merged, write_adapter
from safetensors.torch import load_file, save_file
from tiny import write_tiny_checkpoint

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import load_model
from dovetail.models.lora import AdaptedDecoder, Adapter

TOKENS = [7, 300, 41, 5, 9, 260, 33]


def logits(model: Any, paged_runner: Callable[..., Any]) -> torch.Tensor:
    return paged_runner(model).step({0: TOKENS})[0]


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("qwen2", {}),
        ("llama", {"targets": ("q_proj", "v_proj", "down_proj"), "use_rslora": True, "rank": 9}),
        ("qwen3", {"alpha_pattern": {"k_proj": 3}, "rank_pattern": {"o_proj": 2}}),
    ],
)
def test_the_same_as_merged_weights(
    tmp_path: Path, family: str, config: dict[str, Any], paged_runner: Callable[..., Any]
) -> None:
    base = write_tiny_checkpoint(tmp_path / "base", family)
    adapter = write_adapter(tmp_path / "adapter", base, **config)
    model = load_model(base)
    loaded = Adapter.load(adapter, model.decoder)
    adapted = AdaptedDecoder(model.decoder)
    wanted = logits(load_model(merged(tmp_path / "merged", base, adapter)), paged_runner)
    plain = logits(model, paged_runner)

    def over(rows: list[tuple[int, Adapter | None]]) -> torch.Tensor:
        return logits(type("Adapted", (), {"decoder": adapted.over(rows), "config": model.config}), paged_runner)

    torch.testing.assert_close(over([(7, loaded)]), wanted, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(over([(7, None)]), plain, atol=1e-4, rtol=1e-4)
    assert (wanted - plain).abs().max() > 0.5, "the adapter changes much"
    mixed = over([(3, None), (4, loaded)])
    torch.testing.assert_close(mixed[:3], plain[:3], atol=1e-4, rtol=1e-4)
    assert (mixed[3:] - plain[3:]).abs().max() > 0.1


def test_on_quantised_weights_it_adds_the_same(tmp_path: Path, paged_runner: Callable[..., Any]) -> None:
    base = write_tiny_checkpoint(tmp_path / "base")
    model = load_model(base, quantize="int8")
    loaded = Adapter.load(write_adapter(tmp_path / "adapter", base), model.decoder)
    runner = type("Adapted", (), {"decoder": AdaptedDecoder(model.decoder).over([(7, loaded)]), "config": model.config})
    exact = logits(load_model(merged(tmp_path / "merged", base, tmp_path / "adapter")), paged_runner)
    assert torch.nn.functional.cosine_similarity(logits(runner, paged_runner), exact).min() > 0.99


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3' is not supported"),
        ({"use_dora": True}, "use_dora True is not supported"),
        ({"bias": "all"}, "bias 'all' is not supported"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"lora_alpha": None}, "lora_alpha is missing"),
        ({"lora_alpha": "x"}, "lora_alpha must be"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    base = write_tiny_checkpoint(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", base, **config)
    with pytest.raises(ModelDirectoryError, match=said):
        Adapter.load(adapter, load_model(base).decoder)


def test_adapters_of_other_models_are_refused(tmp_path: Path) -> None:
    base = write_tiny_checkpoint(tmp_path / "base")
    decoder = load_model(base).decoder
    wide = write_tiny_checkpoint(tmp_path / "wide", hidden=128)
    with pytest.raises(ModelDirectoryError, match="made for another model"):
        Adapter.load(write_adapter(tmp_path / "a", wide), decoder)
    deep = write_tiny_checkpoint(tmp_path / "deep", layers=3)
    with pytest.raises(ModelDirectoryError, match=r"layers\.2\.[a-z_.]+ is no projection"):
        Adapter.load(write_adapter(tmp_path / "b", deep), decoder)
    with pytest.raises(ModelDirectoryError, match=r"adapter_config\.json: file not found"):
        Adapter.load(base, decoder)
    broken = write_adapter(tmp_path / "c", base)
    tensors = load_file(broken / "adapter_model.safetensors")
    save_file({name: each for name, each in tensors.items() if "lora_A" in name}, broken / "adapter_model.safetensors")
    with pytest.raises(ModelDirectoryError, match="has matrices"):
        Adapter.load(broken, decoder)
    save_file({**tensors, "base_model.model.lm_head.weight": torch.ones(2)}, broken / "adapter_model.safetensors")
    with pytest.raises(ModelDirectoryError, match="is no projection of this model"):
        Adapter.load(broken, decoder)
    (broken / "adapter_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelDirectoryError, match="truncated or damaged"):
        Adapter.load(broken, decoder)
    (broken / "adapter_config.json").write_text(json.dumps([]))
    with pytest.raises(ModelDirectoryError, match="expected a JSON object"):
        Adapter.load(broken, decoder)
