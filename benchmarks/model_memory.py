"""How much memory does a model need? Computed from configurations: those of published models, or of model directories.

    python benchmarks/model_memory.py [MODEL_DIR ...]

Weights as the CPU engine stores them, and the key-value cache of 16,384 tokens (float32, as on a CPU; half of that on a GPU).
GB are 10^9 bytes. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

from dovetail.models.config import ModelConfig
from dovetail.models.memory import STORAGES, kv_bytes_per_token, parameters, read_per_token, weight_bytes

CONTEXT = 16_384
_SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)


def published() -> dict[str, ModelConfig]:
    """The configurations in published_models.toml."""
    file = tomllib.loads((Path(__file__).parent / "published_models.toml").read_text(encoding="utf-8"))
    found = {}
    for name, given in file["models"].items():
        values = {**file["defaults"], **given, "max_position_embeddings": given["context"]}
        found[name] = ModelConfig.parse({**values, **dict(zip(_SHAPE, given["shape"], strict=True))}, name)
    return found


def figures(config: ModelConfig) -> dict[str, Any]:
    """Of one model, in billions."""
    return {
        "parameters": parameters(config) / 1e9,
        "active": read_per_token(config) * parameters(config) / 1e9,
        **{storage: weight_bytes(config, storage) / 1e9 for storage in STORAGES if storage != "float32"},
        "cache": kv_bytes_per_token(config) * CONTEXT / 1e9,
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The figures in Markdown."""
    lines = [
        "| model | parameters | bfloat16 | int8 | int4 | cache of 16,384 tokens |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        size = f"{row['parameters']:.2f} B"
        if row["active"] < 0.9 * row["parameters"]:
            size += f" ({row['active']:.1f} B a token)"
        weights = " | ".join(f"{row[storage]:.1f} GB" for storage in ("bfloat16", "int8", "int4"))
        lines.append(f"| {name} | {size} | {weights} | {row['cache']:.1f} GB |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL_DIR")
    options = parser.parse_args()
    configs = {path.name: ModelConfig.load(path) for path in options.models} or published()
    rows = {name: figures(config) for name, config in configs.items()}
    print(table(rows))
    print(json.dumps({name: {key: round(value, 3) for key, value in row.items()} for name, row in rows.items()}))


if __name__ == "__main__":
    main()
