"""What does storing weights in fewer bits cost? KL divergence of next-token distributions on real code.

    python benchmarks/quantization.py [--model DIR] [--files N] [--tokens N] [--chunk N]

Text is the beginning of standard library modules, fed in chunks as an engine would: large ones are computed as prompts are,
with --chunk 1 to 16 as decoding and drafts are. For every way of storing the weights: mean and 99th
percentile of KL(float32 || stored) in nats per token, how often the most likely token is the same, perplexity, and
bytes per parameter. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sysconfig
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import LoadedModel, Quantization, load_model
from dovetail.models.tokenizer import Tokenizer

MODULES = (
    "argparse", "ast", "asyncio/base_events", "bisect", "calendar", "collections/__init__", "configparser", "contextlib",
    "csv", "dataclasses", "difflib", "email/message", "fractions", "ftplib", "functools", "gzip", "heapq", "http/client",
    "inspect", "json/decoder", "logging/__init__", "os", "pathlib", "queue", "random", "shutil", "statistics", "string",
    "tarfile", "textwrap", "threading", "tokenize", "typing", "urllib/parse", "uuid", "zipfile",
)  # fmt: skip
FORMS: tuple[tuple[str, torch.dtype, Quantization | None], ...] = (
    ("float32", torch.float32, None),
    ("bfloat16", torch.bfloat16, None),
    ("int8", torch.float32, "int8"),
    ("int4", torch.float32, "int4"),
)
BLOCK = 16


def texts(files: int) -> list[str]:
    """Sources of the running Python's standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = [library / f"{module}.py" for module in MODULES]
    return [path.read_text(encoding="utf-8") for path in paths if path.is_file()][:files]


def log_probabilities(model: LoadedModel, tokens: list[int], size: int) -> Tensor:
    """float32 ``[len(tokens), vocab]``, computed in chunks of ``size``."""
    blocks = -(-len(tokens) // BLOCK)
    cache = KVCache.allocate(model.config, blocks, BLOCK, model.decoder.dtype)
    parts = []
    for first in range(0, len(tokens), size):
        chunk = tokens[first : first + size]
        where = torch.arange(first, first + len(chunk))
        batch = RaggedBatch(
            token_ids=torch.tensor(chunk),
            positions=where,
            slots=where,
            query_starts=(0, len(chunk)),
            context_lens=(first + len(chunk),),
            block_tables=torch.arange(blocks).unsqueeze(0),
            logit_rows=torch.arange(len(chunk)),
        )
        parts.append(model.decoder.forward(batch, cache))
    return torch.cat(parts).log_softmax(-1)


def main() -> None:
    """Parse arguments, compare, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--files", type=int, default=len(MODULES))
    parser.add_argument("--tokens", type=int, default=512, help="tokens of each file")
    parser.add_argument("--chunk", type=int, default=256, help="tokens of a forward pass")
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.model)
    prompts = [tokenizer.encode(text)[: options.tokens] for text in texts(options.files)]
    models = {name: load_model(options.model, dtype=dtype, quantize=quantize) for name, dtype, quantize in FORMS}
    divergences: dict[str, list[Tensor]] = {name: [] for name in models}
    same: dict[str, list[Tensor]] = {name: [] for name in models}
    losses: dict[str, list[Tensor]] = {name: [] for name in models}
    with torch.inference_mode():
        for prompt in prompts:
            exact = log_probabilities(models["float32"], prompt, options.chunk)
            for name, model in models.items():
                other = exact if name == "float32" else log_probabilities(model, prompt, options.chunk)
                divergences[name].append((exact.exp() * (exact - other)).sum(-1))
                same[name].append((exact.argmax(-1) == other.argmax(-1)).float())
                losses[name].append(-other[:-1].gather(1, torch.tensor(prompt[1:]).unsqueeze(1)).squeeze(1))
    count = sum(map(len, prompts))
    table = Table("stored as", "bytes / parameter", "KL mean", "KL 99 %", "same top token", "perplexity")
    report: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        kl, agreement = torch.cat(divergences[name]), float(torch.cat(same[name]).mean())
        report[name] = {
            "bytes_per_parameter": round(model.weight_bytes / model.parameters, 3),
            "kl_mean": float(f"{kl.mean():.3e}"),
            "kl_p99": float(f"{kl.quantile(0.99):.3e}"),
            "same_top": round(agreement, 5),
            "perplexity": round(math.exp(float(torch.cat(losses[name]).mean())), 4),
        }
        table.add_row(name, *(str(value) for value in report[name].values()))
    table.title = f"{options.model.name}: {count} tokens of {len(prompts)} files"
    Console().print(table)
    print(
        json.dumps(
            {
                "benchmark": "quantization",
                "model": options.model.name,
                "tokens": count,
                "chunk": options.chunk,
                "forms": report,
            }
        )
    )


if __name__ == "__main__":
    main()
