"""Random models with a vocabulary of a real size, made from source code on this machine.

A byte-level BPE is trained on the Python sources of this environment's packages and kept in the user's cache folder; the
weights are random. Knows no engine.
"""

from __future__ import annotations

import os
import random
import sysconfig
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from dovetail.models.random_checkpoint import SPECIAL_TOKENS, write_random_checkpoint

VOCABULARY = 32_000
CORPUS_BYTES = 12_000_000
LONGEST_FILE = 200_000
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How text is cut before merging, as most code models do it today: single digits, line ends together with what precedes."""

COUNTING = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2}
"""Where only tokens and passes are counted."""
TIMING = {
    "47m": {"hidden": 512, "layers": 8, "heads": 8, "kv_heads": 2, "intermediate": 2048},
    "0.5b": {"hidden": 896, "layers": 24, "heads": 14, "kv_heads": 2, "intermediate": 4864},
}
"""Where times are taken, by millions of parameters: the embedding is tied, and the larger one has the layers of Qwen2.5-0.5B."""


def code_vocabulary(size: int = VOCABULARY) -> Tokenizer:
    """A tokenizer of ``size`` tokens, trained when it is first asked for."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dovetail" / "benchmarks"
    file = cache / f"vocabulary-{size}.json"
    if not file.exists():
        tokenizer = _trained(size)
        cache.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(file.with_suffix(".part")))
        file.with_suffix(".part").rename(file)
    return Tokenizer.from_file(str(file))


def _trained(size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(WORDS), "isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, letters])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_corpus(), trainer)
    return tokenizer


def _corpus() -> list[str]:
    files = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
    random.Random(0).shuffle(files)
    texts: list[str] = []
    left = CORPUS_BYTES
    for file in files:
        if left > 0 and file.stat().st_size < LONGEST_FILE:
            texts.append(file.read_text(encoding="utf-8", errors="ignore"))
            left -= len(texts[-1])
    return texts


def write_code_model(directory: Path, shape: dict[str, int], vocabulary: int = VOCABULARY) -> Path:
    """A random checkpoint of that shape with the trained vocabulary; returns ``directory``."""
    return write_random_checkpoint(
        directory,
        vocab_size=vocabulary + len(SPECIAL_TOKENS),
        tokenizer=code_vocabulary(vocabulary),
        tie_word_embeddings=True,
        max_position_embeddings=65_536,
        dtype=torch.bfloat16,
        **shape,
    )
