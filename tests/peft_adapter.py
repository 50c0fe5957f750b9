"""Writes LoRA adapters as PEFT does, and the checkpoint that has one merged into its weights."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def write_adapter(
    directory: Path, base: Path, *, rank: int = 4, targets: tuple[str, ...] = ALL, seed: int = 1, **config: Any
) -> Path:
    """A random adapter for the checkpoint ``base``; ``config``: settings of adapter_config.json."""
    directory.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in load_file(base / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in targets:
            own = config.get("rank_pattern", {}).get(module.rpartition(".")[2], rank)
            key = f"base_model.model.{module}"
            tensors[f"{key}.lora_A.weight"] = torch.randn(own, weight.shape[1], generator=generator) / 4
            tensors[f"{key}.lora_B.weight"] = torch.randn(weight.shape[0], own, generator=generator) / 4
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    values = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.1,
        "target_modules": list(targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "use_rslora": False,
        "use_dora": False,
    }
    (directory / "adapter_config.json").write_text(json.dumps({**values, **config}))
    return directory


def merged(directory: Path, base: Path, adapter: Path) -> Path:
    """``base`` with the adapter in its weights."""
    shutil.copytree(base, directory)
    config = json.loads((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapter_model.safetensors")
    weights = load_file(base / "model.safetensors")
    for key, down in tensors.items():
        if ".lora_A." not in key:
            continue
        module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        alpha = config.get("alpha_pattern", {}).get(module.rpartition(".")[2], config["lora_alpha"])
        scale = alpha / (math.sqrt(down.shape[0]) if config["use_rslora"] else down.shape[0])
        weights[f"{module}.weight"] += scale * tensors[key.replace(".lora_A.", ".lora_B.")] @ down
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory
