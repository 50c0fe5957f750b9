"""The tokenizer in a GGUF file's metadata, written as tokenizer.json (byte-level BPE) or tokenizer.model (sentencepiece)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dovetail.models.errors import ModelDirectoryError

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SPLITS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "qwen2": (rf"{_WORDS}\p{{N}}{_REST}",),
    "llama-bpe": (rf"{_WORDS}\p{{N}}{{1,3}}{_REST}",),
    "starcoder": (r"\p{N}", _GPT2),
    "tekken": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}
_SAME = {
    "deepseek-r1-qwen": "qwen2",
    "llama3": "llama-bpe",
    "llama-v3": "llama-bpe",
    "smaug-bpe": "llama-bpe",
    "smollm": "starcoder",
    "refact": "starcoder",
    "command-r": "starcoder",
    "codeshell": "starcoder",
}
"""Names of pre-tokenizers that split alike."""
_WHOLE_FIRST = frozenset({"llama-bpe", "llama3", "llama-v3", "tekken"})
"""Of these, a piece that is a token itself is not merged; and a text begins with the first token unless the file says otherwise."""


def token_named(metadata: dict[str, Any], role: str) -> str | None:
    """The token that the metadata gives this role: bos, eos, ..."""
    index = metadata.get(f"tokenizer.ggml.{role}_token_id")
    tokens = metadata.get("tokenizer.ggml.tokens", [])
    return str(tokens[index]) if isinstance(index, int) and index < len(tokens) else None


def begins_with_bos(metadata: dict[str, Any]) -> bool:
    """Whether a raw prompt begins with the beginning-of-sequence token."""
    usual = metadata.get("tokenizer.ggml.model") == "llama" or metadata.get("tokenizer.ggml.pre") in _WHOLE_FIRST
    return bool(metadata.get("tokenizer.ggml.add_bos_token", usual))


def write_tokenizer(metadata: dict[str, Any], path: Path, directory: Path) -> None:
    """Write the tokenizer's file. Raises ModelDirectoryError for kinds that are not supported."""
    kind = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    types = metadata.get("tokenizer.ggml.token_type") or [1] * len(tokens or ())
    if not isinstance(tokens, list) or not all(isinstance(each, str) for each in tokens) or len(types) != len(tokens):
        raise ModelDirectoryError(f"{path}: the tokenizer's tokens or their types are missing; copy the file again")
    if kind == "gpt2":
        document = _byte_level(metadata, path, tokens, types)
        (directory / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    elif kind == "llama":
        scores = metadata.get("tokenizer.ggml.scores")
        if not isinstance(scores, list) or len(scores) != len(tokens):
            raise ModelDirectoryError(f"{path}: the tokenizer's scores are missing; copy the file again")
        prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
        (directory / "tokenizer.model").write_bytes(sentencepiece_model(tokens, scores, types, prefix))
    else:
        raise ModelDirectoryError(f"{path}: tokenizers of kind {kind!r} are not supported; supported: gpt2, llama")


def _byte_level(metadata: dict[str, Any], path: Path, tokens: list[str], types: list[int]) -> dict[str, Any]:
    named = str(metadata.get("tokenizer.ggml.pre", "default"))
    splits = _SPLITS.get(_SAME.get(named, named))
    if splits is None:
        known = ", ".join(sorted({*_SPLITS, *_SAME}))
        raise ModelDirectoryError(f"{path}: the pre-tokenizer {named!r} is not supported; supported: {known}")
    merges = metadata.get("tokenizer.ggml.merges")
    if not isinstance(merges, list):
        raise ModelDirectoryError(f"{path}: the tokenizer's merges are missing; copy the file again")
    pieces: list[dict[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False} for split in splits
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": types[index] == _CONTROL,
        }
        for index, token in enumerate(tokens)
        if types[index] in (_CONTROL, _USER_DEFINED)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*pieces, level]},
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": named in _WHOLE_FIRST,
            "vocab": {token: index for index, token in enumerate(tokens) if types[index] != _UNUSED},
            "merges": merges,
        },
    }


def sentencepiece_model(tokens: list[str], scores: list[float], types: list[int], prefix: bool) -> bytes:
    """A serialised sentencepiece model (its ModelProto): pieces, byte-pair merging by score, byte fallback, no normalisation."""
    pieces = b"".join(
        _field(1, _field(1, token.encode()) + _tag(2, 5) + struct.pack("<f", score) + _number(3, kind))
        for token, score, kind in zip(tokens, scores, types, strict=True)
    )
    trainer = _field(2, _number(3, 2) + _number(35, 1))
    normaliser = _field(3, _field(1, b"identity") + _number(3, int(prefix)) + _number(4, 0) + _number(5, 1))
    return pieces + trainer + normaliser


def _tag(field: int, wire: int) -> bytes:
    return bytes(_varint(field << 3 | wire))


def _number(field: int, value: int) -> bytes:
    return _tag(field, 0) + bytes(_varint(value))


def _field(field: int, content: bytes) -> bytes:
    return _tag(field, 2) + bytes(_varint(len(content))) + content


def _varint(value: int) -> Iterator[int]:
    while value > 127:
        yield value & 127 | 128
        value >>= 7
    yield value
