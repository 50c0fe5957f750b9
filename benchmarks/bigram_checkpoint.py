"""A random checkpoint whose embedding and head are fitted to token bigrams, so that its babble looks a little like code.

Plain random weights almost never end a block, and never with a file that parses; then the fuzz would test little. Knows
nothing of the server: it writes an ordinary model directory.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import torch
from nasty_files import SOURCES
from safetensors.torch import load_file, save_file

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer

HIDDEN = 128
SMOOTHING = 0.02
NOISE = 0.15
"""Share that is left of what the random layers add to the residual stream."""


def babble(seed: int, blocks: int = 400) -> str:
    """Search/replace blocks over the sources, small and with replacements from the same file: the text to count."""
    rng = random.Random(seed)
    parts = []
    for _ in range(blocks):
        path, content = rng.choice(list(SOURCES.values()))
        lines = content.splitlines(keepends=True)
        start = rng.randrange(len(lines))
        search = lines[start : start + rng.choice([1, 1, 2, 4])]
        replace = [line for line in search if rng.random() < 0.8] + rng.sample(lines, rng.choice([0, 0, 1, 2]))
        parts.append(f"{path}\n<<<<<<< SEARCH\n{''.join(search)}=======\n{''.join(replace)}>>>>>>> REPLACE\n")
    return "".join(parts)


def write_bigram_checkpoint(directory: Path, seed: int = 0) -> Path:
    """Write the model directory and return it."""
    write_random_checkpoint(directory, hidden=HIDDEN, layers=2, max_position_embeddings=8192, seed=seed)
    tokenizer = Tokenizer.load(directory)
    file = directory / "model.safetensors"
    weights = load_file(file)
    size = weights["lm_head.weight"].shape[0]
    counts = torch.full((size, size), SMOOTHING)
    tokens = tokenizer.encode(babble(seed))
    for before, after in itertools.pairwise(tokens):
        counts[before, after] += 1
    table = (counts / counts.sum(1, keepdim=True)).log()
    table = table - table.mean(1, keepdim=True)
    left, scale, right = torch.linalg.svd(table)
    rank = slice(0, HIDDEN)
    rows = left[:, rank] * scale[rank].sqrt()
    # The final norm makes every row's root mean square one: give each its length back by way of the average.
    length = rows.square().mean(1).sqrt()
    weights["model.embed_tokens.weight"] = (rows / length.clamp(min=1e-6).unsqueeze(1)).contiguous()
    weights["lm_head.weight"] = (right[rank].T * scale[rank].sqrt() * length.mean()).contiguous()
    for name, tensor in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name] = (tensor * NOISE).contiguous()
        elif name == "model.norm.weight":
            weights[name] = torch.ones_like(tensor)
    save_file(weights, str(file), metadata={"format": "pt"})
    return directory
