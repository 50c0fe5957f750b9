"""What a GGUF file says of its model, as the files of a Hugging Face directory: configuration, tokenizer, template.

The directory points to the file for the weights, so that everything that reads model directories reads it. Needs no torch.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.gguf.file import GgufFile
from dovetail.models.gguf.tokenizer import begins_with_bos, token_named, write_tokenizer

WEIGHTS = "weights.gguf"
"""In a described directory: a link to the file."""

_MOST = {"context_length": 1 << 28, "attention.key_length": 1 << 12}
"""Sizes beyond which a number is damage, not a model: other sizes may be a million."""
_ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def is_gguf(path: Path) -> bool:
    """Whether this is a file of that name."""
    return path.suffix == ".gguf" and path.is_file()


def gguf_of(directory: Path) -> Path | None:
    """The file that a described directory stands for; None: it is an ordinary one."""
    link = directory / WEIGHTS
    return link.resolve() if link.is_file() else None


def describe(path: Path, directory: Path) -> str:
    """Write the files into the empty ``directory``; returns the model's name.

    Raises:
        ModelDirectoryError: the file is damaged, or holds a model or a tokenizer of a kind that is not supported.
    """
    with GgufFile(path) as file:
        metadata = file.metadata
        config = _config(file)
        write_tokenizer(metadata, path, directory)
        ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
        ids = list(dict.fromkeys(end for end in ends if isinstance(end, int)))
        begin = metadata.get("tokenizer.ggml.bos_token_id")
        _write(directory / "config.json", {**config, "eos_token_id": ids, "bos_token_id": begin})
        _write(directory / "generation_config.json", {"eos_token_id": ids, "bos_token_id": begin})
        own = {
            "bos_token": token_named(metadata, "bos"),
            "eos_token": token_named(metadata, "eos"),
            "add_bos_token": begins_with_bos(metadata),
            "add_eos_token": bool(metadata.get("tokenizer.ggml.add_eos_token", False)),
        }
        template = metadata.get("tokenizer.chat_template")
        if isinstance(template, str):
            (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
        _write(directory / "tokenizer_config.json", own)
        licence = metadata.get("general.license")
        if isinstance(licence, str) and licence.isprintable():
            (directory / "README.md").write_text(f"---\nlicense: {licence}\n---\n", encoding="utf-8")
    (directory / WEIGHTS).symlink_to(path.resolve())
    return path.stem


def _config(file: GgufFile) -> dict[str, Any]:
    """config.json."""
    metadata, path = file.metadata, file.path
    kind = metadata.get("general.architecture")
    if kind not in _ARCHITECTURES:
        raise ModelDirectoryError(
            f"{path}: GGUF files of architecture {kind!r} are not supported; supported: {', '.join(sorted(_ARCHITECTURES))}"
        )

    def value(key: str, default: Any = None) -> Any:
        found = metadata.get(f"{kind}.{key}", default)
        if found is None:
            raise ModelDirectoryError(f"{path}: {kind}.{key} is missing")
        if isinstance(found, int) and found > _MOST.get(key, 1 << 20):
            raise ModelDirectoryError(f"{path}: {kind}.{key} cannot be {found}; copy the file again")
        return found

    if value("block_count") > len(file.tensors):
        raise ModelDirectoryError(
            f"{path}: {value('block_count')} layers are announced, and {len(file.tensors)} tensors there"
        )
    hidden, heads = value("embedding_length"), value("attention.head_count")
    table = file.tensors.get("token_embd.weight")
    if table is None or not isinstance(hidden, int) or not isinstance(heads, int) or not heads:
        raise ModelDirectoryError(f"{path}: token_embd.weight or the sizes are missing; copy the file again")
    return {
        "architectures": [_ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": table.shape[0],
        "hidden_size": hidden,
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": value("attention.head_count_kv", heads),
        "head_dim": value("attention.key_length", hidden // heads),
        "hidden_act": "silu",
        "rms_norm_eps": _short(value("attention.layer_norm_rms_epsilon")),
        "max_position_embeddings": value("context_length"),
        "rope_parameters": _rope(file, str(kind)),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": kind == "llama" and "blk.0.attn_q.bias" in file.tensors,
    }


def _rope(file: GgufFile, kind: str) -> dict[str, Any]:
    metadata = file.metadata
    plain = {"rope_type": "default", "rope_theta": _short(metadata.get(f"{kind}.rope.freq_base", 10000.0))}
    scaling = metadata.get(f"{kind}.rope.scaling.type", "none")
    if "rope_freqs.weight" in file.tensors:
        return {**plain, **_llama3(file, kind)}
    if scaling == "none":
        return plain
    if scaling not in ("linear", "yarn"):
        raise ModelDirectoryError(f"{file.path}: rope scaling {scaling!r} is not supported; supported: linear, yarn")
    scaled = {**plain, "rope_type": scaling, "factor": _short(metadata.get(f"{kind}.rope.scaling.factor", 1.0))}
    original = metadata.get(f"{kind}.rope.scaling.original_context_length")
    return scaled if original is None else {**scaled, "original_max_position_embeddings": original}


def _llama3(file: GgufFile, kind: str) -> dict[str, Any]:
    """Llama 3's scaling, of which the file holds the factors that follow from it: the numbers are found again, and proved."""
    factors = [float(each) for each in file.blocks("rope_freqs.weight").view("<f4").flatten()]
    found = {"factor": max(factors), "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    original, base = 8192, float(file.metadata.get(f"{kind}.rope.freq_base", 10000.0))
    for index, factor in enumerate(factors):
        wave = 2 * math.pi * base ** (index / len(factors))
        share = (original / wave - 1.0) / 3.0
        smooth = min(1.0, max(0.0, share))
        wanted = 1 / ((1 - smooth) / found["factor"] + smooth)
        if abs(wanted - factor) > 1e-3 * wanted:
            raise ModelDirectoryError(
                f"{file.path}: rope_freqs.weight holds factors that are not Llama 3's; not supported"
            )
    return {"rope_type": "llama3", "original_max_position_embeddings": original, **found}


def _short(value: Any) -> float:
    """A number that was a float32, as people write it."""
    return float(f"{float(value):.7g}")


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
