"""A random checkpoint whose embedding and head are fitted to token bigrams, so that its babble looks a little like code.

Plain random weights almost never end an edit, and never with a file that parses; then the fuzz would test little. Knows
nothing of the server: it writes an ordinary model directory.
"""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import torch
from nasty_files import SOURCES
from safetensors.torch import load_file, save_file

from dovetail.models.random_checkpoint import MARKER_TOKENS, write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer

HIDDEN = 128
VOCABULARY = 1536
ENDINGS = ("*** End Patch\n", "@@\n", "@@ @@\n", "```\n", '\\n", "new_string": "', '\\n"}\n')
"""What ends something, in one format or another: tokens of their own beside the marker lines of blocks."""
SMOOTHING = 0.02
NOISE = 0.15
"""Share that is left of what the random layers add to the residual stream."""


def babble(seed: int, edits: int = 900) -> str:
    """Edits of the sources in every format, small and with new lines from the same file: the text to count."""
    rng = random.Random(seed)
    parts = []
    for _ in range(edits):
        path, content = rng.choice(list(SOURCES.values()))
        lines = content.splitlines(keepends=True)
        start = rng.randrange(len(lines))
        old = lines[start : start + rng.choice([1, 1, 2, 4])]
        new = [line for line in old if rng.random() < 0.8] + rng.sample(lines, rng.choice([0, 0, 1, 2]))
        parts.append(rng.choice(FORMATS)(path, old, new, lines))
    return "".join(parts)


def _block(path: str, old: list[str], new: list[str], lines: list[str]) -> str:
    del lines
    return f"{path}\n<<<<<<< SEARCH\n{''.join(old)}=======\n{''.join(new)}>>>>>>> REPLACE\n"


def _hunk(old: list[str], new: list[str]) -> str:
    return "".join(["-" + line for line in old] + ["+" + line for line in new])


def _patch(path: str, old: list[str], new: list[str], lines: list[str]) -> str:
    del lines
    return f"*** Begin Patch\n*** Update File: {path}\n@@\n{_hunk(old, new)}*** End Patch\n"


def _diff(path: str, old: list[str], new: list[str], lines: list[str]) -> str:
    del lines
    head = f"```diff\ndiff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ @@\n"
    return f"{head}{_hunk(old, new)}@@ @@\n{_hunk(new, old)}```\n"


def _whole(path: str, old: list[str], new: list[str], lines: list[str]) -> str:
    content = "".join(line for line in lines if line not in old or line in new)
    return f"{path}\n```\n{content}```\n"


def _call(path: str, old: list[str], new: list[str], lines: list[str]) -> str:
    place = {"insert_line": len(lines)} if len(old) > 2 else {"old_string": "".join(old)}
    return json.dumps({"file_path": path, **place, "new_string": "".join(new)}, ensure_ascii=False) + "\n"


FORMATS = (_block, _patch, _diff, _whole, _call)


def write_bigram_checkpoint(directory: Path, seed: int = 0) -> Path:
    """Write the model directory and return it."""
    text = babble(seed)
    shape = {"hidden": HIDDEN, "layers": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 8192}
    write_random_checkpoint(directory, **shape, corpus=text, markers=(*MARKER_TOKENS, *ENDINGS), seed=seed)
    tokenizer = Tokenizer.load(directory)
    file = directory / "model.safetensors"
    weights = load_file(file)
    size = weights["lm_head.weight"].shape[0]
    counts = torch.full((size, size), SMOOTHING)
    for before, after in itertools.pairwise(tokenizer.encode(text)):
        counts[before, after] += 1
    table = (counts / counts.sum(1, keepdim=True)).log()
    table = table - table.mean(1, keepdim=True)
    left, scale, right = torch.svd_lowrank(table, HIDDEN)
    rows = left * scale.sqrt()
    # The final norm makes every row's root mean square one: give each its length back by way of the average.
    length = rows.square().mean(1).sqrt()
    weights["model.embed_tokens.weight"] = (rows / length.clamp(min=1e-6).unsqueeze(1)).contiguous()
    weights["lm_head.weight"] = (right * scale.sqrt() * length.mean()).contiguous()
    for name, tensor in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name] = (tensor * NOISE).contiguous()
        elif name == "model.norm.weight":
            weights[name] = torch.ones_like(tensor)
    save_file(weights, str(file), metadata={"format": "pt"})
    return directory
