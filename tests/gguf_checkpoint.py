"""Writes a checkpoint as a GGUF file with the gguf package, and the checkpoint that has the same numbers dequantised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file, save_file

from dovetail.models.gguf.weights import stored_name

K_BYTES = {"Q4_K": 144, "Q6_K": 210}
"""Of a block of 256 weights: the package reads these formats, and does not write them."""


def random_k_blocks(kind: str, rows: int, columns: int, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """Blocks of random bits under small scales."""
    blocks = generator.integers(0, 256, (rows, columns // 256, K_BYTES[kind]), dtype=np.uint8)
    scales = (generator.random((rows, columns // 256, 2)) * 4e-4 + 1e-4).astype("<f2")
    if kind == "Q4_K":
        blocks[..., :4] = scales.view(np.uint8)
    else:
        blocks[..., 208:] = scales[..., :1].copy().view(np.uint8)
    return blocks.reshape(rows, -1)


def turned(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of queries or keys in the order in which llama.cpp turns them."""
    return (
        weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
    )


def write_gguf(path: Path, checkpoint: Path, kinds: dict[str, str], reference: Path | None = None, **more: Any) -> Path:
    """``kinds``: the format of matrices by a part of their name, F32 for others; ``more``: further metadata.

    ``reference``: where the checkpoint of the dequantised numbers goes.
    """
    config = json.loads((checkpoint / "config.json").read_text())
    arch = config["model_type"] if config["model_type"] != "mistral" else "llama"
    writer = gguf.GGUFWriter(path, arch)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    for key, value in more.items():
        writer.add_key_value(key.replace("__", "."), *value)
    _add_tokenizer(writer, checkpoint)
    generator = np.random.default_rng(0)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    plain = {}
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        weight = tensor.to(torch.float32).numpy()
        kind = next((kind for part, kind in kinds.items() if part in name), "F32") if weight.ndim == 2 else "F32"
        own = heads.get(name.split(".")[-2]) if arch == "llama" else None
        weight = weight if own is None else turned(weight, own)
        number = gguf.GGMLQuantizationType[kind]
        if kind in K_BYTES:
            raw = random_k_blocks(kind, *weight.shape, generator)
        else:
            raw = quantize(weight, number)
        writer.add_tensor(stored_name(name), raw, raw_dtype=number)
        back = dequantize(raw, number).reshape(weight.shape)
        if own is not None:
            back = back.reshape(own, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
        plain[name] = torch.from_numpy(np.ascontiguousarray(back, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if reference is not None:
        shutil.copytree(checkpoint, reference)
        save_file(plain, reference / "model.safetensors", metadata={"format": "pt"})
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, checkpoint: Path) -> None:
    document = json.loads((checkpoint / "tokenizer.json").read_text())
    added = {entry["id"]: entry for entry in document["added_tokens"]}
    vocabulary = {**document["model"]["vocab"], **{entry["content"]: index for index, entry in added.items()}}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    types = [1 if index not in added else 3 if added[index]["special"] else 4 for index in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in document["model"]["merges"]]
    )
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_chat_template((checkpoint / "chat_template.jinja").read_text())
