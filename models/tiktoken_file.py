"""Reads ``*.tiktoken`` files (and Kimi's ``tiktoken.model``): a line for each token, its bytes in base64 and its rank.

Such a file says neither how text is split before it is merged nor what its special tokens are: both are known here by the file's name,
and special tokens may be named in tokenizer_config.json. Knows no other layout.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_optional_json
from dovetail.models.spelling import LETTER_OF_BYTE
from dovetail.models.tokenizer_json import TokenizerJson

KIMI = "tiktoken.model"
QWEN = "qwen.tiktoken"
_RESERVED = 256
"""Special tokens of Kimi's models, of which the configuration names some."""
_QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{index}|>" for index in range(205)))

_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = (rf"[\p{{{case}}}\p{{Lm}}\p{{Lo}}\p{{M}}&&[^\p{{Han}}]]" for case in (r"Lu}\p{Lt", "Ll"))
_SPLITS = {
    QWEN: rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_TAIL}",
    KIMI: (
        rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDINGS}?"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDINGS}?|\p{{N}}{{1,3}}{_TAIL}"
    ),
}


def find_tiktoken(directory: Path) -> Path | None:
    """The file of this kind in a model directory; None: there is none."""
    found = [path for path in (directory / KIMI, *sorted(directory.glob("*.tiktoken"))) if path.is_file()]
    return found[0] if found else None


def read_tiktoken(path: Path) -> TokenizerJson:
    """The tokenizer in ``path``.

    Raises:
        ModelDirectoryError: the file is damaged, or of a model whose way of splitting text is not known.
    """
    split = _SPLITS.get(path.name)
    if split is None:
        raise ModelDirectoryError(
            f"{path}: how this tokenizer splits text is not known; known: {', '.join(sorted(_SPLITS))}; convert it to tokenizer.json"
        )
    ranks = _ranks(path)
    special = _special(path, len(ranks))
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    pattern = {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    vocabulary = {_letters(token): rank for token, rank in ranks.items()}
    document: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [{"id": index, "content": content, **flags} for content, index in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [pattern, level]},
        "post_processor": None,
        "decoder": level,
        "model": {"type": "BPE", "ignore_merges": True, "vocab": vocabulary | special, "merges": _merges(ranks)},
    }
    return TokenizerJson(path, document)


def _ranks(path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    try:
        for line in path.read_bytes().splitlines():
            if line.strip():
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
    except (OSError, ValueError, binascii.Error) as error:
        raise ModelDirectoryError(f"{path}: is no list of tokens and ranks ({error}); copy the file again") from error
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise ModelDirectoryError(f"{path}: ranks are missing or there twice; copy the file again")
    return ranks


def _special(path: Path, first: int) -> dict[str, int]:
    """Special tokens and their ids, which follow the last rank."""
    if path.name == QWEN:
        return {content: first + index for index, content in enumerate(_QWEN_SPECIAL)}
    decoder = read_optional_json(path.parent / "tokenizer_config.json").get("added_tokens_decoder")
    named = {int(key): entry["content"] for key, entry in (decoder or {}).items()}
    return {named.get(index, f"<|reserved_token_{index}|>"): index for index in range(first, first + _RESERVED)}


def _merges(ranks: dict[bytes, int]) -> list[list[str]]:
    """Every way to make a token of two others, in the order of the tokens: what merging by the lowest rank comes to."""
    merges: list[list[str]] = []
    for token in sorted(ranks, key=ranks.__getitem__):
        ways = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [way for way in ways if way[0] in ranks and way[1] in ranks]
        known.sort(key=lambda way: (ranks[way[0]], ranks[way[1]]))
        merges += [[_letters(left), _letters(right)] for left, right in known]
    return merges


def _letters(token: bytes) -> str:
    return "".join(LETTER_OF_BYTE[byte] for byte in token)
