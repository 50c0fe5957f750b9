"""Writes an ordinary checkpoint with random weights, for tests and benchmarks.

The directory is what Hugging Face tools write: config.json, generation_config.json, safetensors weights (one file or
shards), a small byte-level BPE tokenizer and a ChatML template. Needs no transformers. Knows nothing of any test.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from dovetail.models.config import ModelConfig
from dovetail.models.families import FAMILIES
from dovetail.models.tensors import tensor_shapes

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKER_TOKENS = ("<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n")
"""Edit markers as single tokens that are ordinary text, not special."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""

CORPUS = '''\
def add(left: int, right: int) -> int:
    """Return the sum of two numbers."""
    return left + right


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.count = start

    def increment(self, by: int = 1) -> int:
        self.count += by
        return self.count


for index, name in enumerate(names):
    if name is None or not name.strip():
        continue
    print(f"{index}: {name}")
    result = add(index, len(name))

function total(items) {
  const values = items.map((item) => item.value);
  return values.reduce((sum, value) => sum + value, 0);
}

export default class Store {
  constructor(options = {}) { this.options = options; }
  get(key) { if (key === undefined) { throw new Error("no key"); } return this.items[key]; }
}

import os, sys, json
from pathlib import Path
try:
    data = json.loads(Path("config.json").read_text())
except FileNotFoundError as error:
    raise SystemExit(f"missing: {error}") from error
Please rename the function and add a test for it. The file should still parse after the change.
'''

LOGIT_SPREAD = 3.0
"""Standard deviation of the logits: enough that greedy choices vary and sampled ones are not uniform."""
RESIDUAL_GAIN = 3.0
"""Extra size of what each layer adds: enough that the layers, not the last token's own embedding, decide the next one."""


@dataclass(frozen=True)
class RandomCheckpoint:
    """The shape of a random checkpoint.

    ``vocab_size`` counts embedding rows, at least 262 (256 bytes, 3 special and 3 marker tokens); the tokenizer uses as
    many as the ``corpus``, a small one by default, gives it merges for, and ``markers`` are tokens of their own. ``config`` adds or replaces keys of config.json (sliding windows, rope
    scaling, biases). ``sharded`` splits the weights by layer, with an index.
    """

    family: str = "qwen2"
    vocab_size: int = 512
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_dim: int | None = None
    intermediate: int | None = None
    max_position_embeddings: int = 2048
    tie_word_embeddings: bool = False
    sharded: bool = False
    seed: int = 0
    dtype: torch.dtype = torch.float32
    corpus: str = CORPUS
    markers: tuple[str, ...] = MARKER_TOKENS
    tokenizer: Tokenizer | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def write(self, directory: Path) -> Path:
        """Write the checkpoint into ``directory`` (made if need be) and return it.

        Raises:
            ValueError: an unknown family or a vocabulary that is too small.
        """
        directory.mkdir(parents=True, exist_ok=True)
        values = self._config_json()
        tokenizer = self._write_tokenizer(directory)
        ends = [tokenizer.token_to_id(token) for token in ("<|im_end|>", "<|endoftext|>")]
        values = {**values, "eos_token_id": ends[0], **self.config}
        _write_json(directory / "config.json", values)
        generation = {"bos_token_id": None, "eos_token_id": ends, "do_sample": True}
        _write_json(directory / "generation_config.json", generation)
        self._write_weights(directory, ModelConfig.parse(values, "random checkpoint"))
        return directory

    def _config_json(self) -> dict[str, Any]:
        family = next((family for family in FAMILIES.values() if family.name == self.family), None)
        if family is None:
            raise ValueError(f"unknown family {self.family!r}; known: {', '.join(f.name for f in FAMILIES.values())}")
        if self.vocab_size < 262:
            raise ValueError(f"vocab_size {self.vocab_size} is below 262: 256 bytes, 3 special and 3 marker tokens")
        dtype = str(self.dtype).removeprefix("torch.")
        values = {
            "architectures": [family.architecture],
            "model_type": family.name,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate or 2 * self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim or self.hidden // self.heads,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": self.max_position_embeddings,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "tie_word_embeddings": self.tie_word_embeddings,
            "sliding_window": None,
            "bos_token_id": None,
            "dtype": dtype,
        }
        return {family.keys.get(key, key): value for key, value in values.items()}

    def _write_tokenizer(self, directory: Path) -> Tokenizer:
        tokenizer = self.tokenizer or self._small_tokenizer()
        tokenizer.add_special_tokens([AddedToken(content, normalized=False) for content in SPECIAL_TOKENS])
        tokenizer.save(str(directory / "tokenizer.json"))
        _write_json(
            directory / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "add_bos_token": False,
                "bos_token": None,
                "eos_token": "<|im_end|>",
                "pad_token": "<|endoftext|>",
                "model_max_length": self.max_position_embeddings,
            },
        )
        (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
        return tokenizer

    def _small_tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size - len(SPECIAL_TOKENS) - len(self.markers),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
            special_tokens=[],
        )
        tokenizer.train_from_iterator(self.corpus.splitlines(keepends=True), trainer)
        tokenizer.add_special_tokens([AddedToken(content, normalized=False) for content in SPECIAL_TOKENS])
        tokenizer.add_tokens([AddedToken(content, normalized=False) for content in self.markers])
        return tokenizer

    def _write_weights(self, directory: Path, config: ModelConfig) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        shapes = tensor_shapes(config)
        shards: dict[str, list[str]] = {}
        for name in shapes:
            parts = name.split(".")
            key = f"layer {int(parts[2]):05d}" if self.sharded and parts[1] == "layers" else "rest"
            shards.setdefault(key, []).append(name)
        files = {
            f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors": shards[key] for i, key in enumerate(sorted(shards))
        }
        if not self.sharded:
            files = {"model.safetensors": list(shapes)}
        size = 0
        for file, names in files.items():
            tensors = {name: _random(name, shapes[name], config, generator).to(self.dtype) for name in names}
            size += sum(tensor.nbytes for tensor in tensors.values())
            save_file(tensors, str(directory / file), metadata={"format": "pt"})
        if self.sharded:
            weight_map = {name: file for file, names in files.items() for name in names}
            index = {"metadata": {"total_size": size}, "weight_map": weight_map}
            _write_json(directory / "model.safetensors.index.json", index)


def write_random_checkpoint(directory: Path, **shape: Any) -> Path:
    """Write a random checkpoint into ``directory``; ``shape`` as the fields of :class:`RandomCheckpoint`."""
    return RandomCheckpoint(**shape).write(directory)


def _random(name: str, shape: tuple[int, ...], config: ModelConfig, generator: torch.Generator) -> Tensor:
    """Norm weights around one, small biases, and matrices that keep a unit signal at unit size."""
    values = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return 0.1 * values + (1 if name.endswith(".weight") else 0)
    if name.endswith("bias"):
        return 0.1 * values
    names = config.family.names
    embedding = name == names.embedding + ".weight"
    if name == names.head + ".weight" or (embedding and config.tie_word_embeddings):
        gain = LOGIT_SPREAD
    elif embedding:
        gain = math.sqrt(config.hidden_size)
    else:
        gain = RESIDUAL_GAIN if ".".join(name.split(".")[3:-1]) in ("self_attn.o_proj", "mlp.down_proj") else 1.0
    return gain / math.sqrt(shape[1]) * values


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
