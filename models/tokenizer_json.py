"""Reads tokenizer.json with the tokenizers library: byte-level BPE, and sentencepiece-style BPE with byte fallback.

Knows the file's layout. A tokenizer that cannot spell every text, or that rewrites text in ways the engine cannot undo,
is refused by name. One rewrite is switched off on purpose: Unicode normalisation (NFC). An edit must copy the file as it
is, so the model must see it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as TokenizersTokenizer

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_json
from dovetail.models.shield import SpecialRule
from dovetail.models.spelling import LETTER_OF_BYTE, METASPACE, UTF8_BYTES, byte_level_bytes, metaspace_bytes
from dovetail.models.vocabulary_file import is_control


class TokenizerJson:
    """A tokenizer.json, read; or ``document``, what one would hold of the file ``path``. Implements :class:`dovetail.models.vocabulary_file.VocabularyFile`.

    Raises:
        ModelDirectoryError: the file is damaged or of an unsupported kind.
    """

    def __init__(self, path: Path, document: dict[str, Any] | None = None) -> None:
        document = read_json(path) if document is None else document
        model = document.get("model")
        if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
            kind = model.get("type") if isinstance(model, dict) else None
            raise ModelDirectoryError(f"{path}: tokenizer model {kind!r} is not supported; supported: BPE")
        byte_level = _is_byte_level(document, path)
        _prepare_normalizer(document, byte_level, path)
        added = _added_tokens(document)
        _check_coverage(model["vocab"], byte_level, path)

        self.special: dict[str, int] = {a["content"]: a["id"] for a in added if a["special"]}
        self.rules = {
            a["content"]: SpecialRule(bool(a.get("lstrip")), bool(a.get("rstrip"))) for a in added if a["special"]
        }
        self._first = _build(document, path)
        self._later = self._first
        _check_ids(self._first, added, path)
        if _metaspace_on_first_only(document):
            _set_prepend_scheme(document, "never")
            self._later = _build(document, path)
        self.frame = tuple(self._first.encode("").ids)
        self.tail = _tail(self._first, self.frame)
        self.spellings = _spellings(model["vocab"], added, byte_level)

    def encode(self, text: str, *, first: bool) -> list[int]:
        """Encode text in which special-token strings are ordinary text."""
        tokenizer = self._first if first else self._later
        return tokenizer.encode(text, add_special_tokens=False).ids


def _build(document: dict[str, Any], path: Path) -> TokenizersTokenizer:
    try:
        tokenizer = TokenizersTokenizer.from_str(json.dumps(document, ensure_ascii=False))
    except Exception as error:  # the library raises nothing narrower
        raise ModelDirectoryError(
            f"{path}: the tokenizers library refuses it ({error}); copy the file again"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _tail(tokenizer: TokenizersTokenizer, frame: tuple[int, ...]) -> tuple[int, ...]:
    """The end of the frame that follows a text."""
    framed, plain = tokenizer.encode("a").ids, tokenizer.encode("a", add_special_tokens=False).ids
    before = next((at for at in range(len(frame) + 1) if framed[at : at + len(plain)] == plain), len(frame))
    return tuple(framed[before + len(plain) :])


def _parts(component: Any, key: str) -> Iterator[dict[str, Any]]:
    """The steps of a pipeline component, its Sequences flattened."""
    if not isinstance(component, dict):
        return
    if component.get("type") == "Sequence":
        for part in component.get(key) or ():
            yield from _parts(part, key)
    else:
        yield component


def _is_byte_level(document: dict[str, Any], path: Path) -> bool:
    decoders = [part.get("type") for part in _parts(document.get("decoder"), "decoders")]
    if "ByteLevel" in decoders:
        return True
    if "ByteFallback" in decoders:
        return False
    raise ModelDirectoryError(
        f"{path}: decoder {decoders or None} is not supported; supported: ByteLevel, and ByteFallback (sentencepiece style)"
    )


def _prepare_normalizer(document: dict[str, Any], byte_level: bool, path: Path) -> None:
    """Drop NFC; refuse whatever else changes the text."""
    kept = []
    for part in _parts(document.get("normalizer"), "normalizers"):
        kind = part.get("type")
        spaces = kind == "Replace" and part.get("pattern") == {"String": " "} and part.get("content") == METASPACE
        if not byte_level and (spaces or (kind == "Prepend" and part.get("prepend") == METASPACE)):
            kept.append(part)
        elif kind != "NFC":
            raise ModelDirectoryError(
                f"{path}: normalizer {kind} is not supported: it changes the text; supported: none, NFC, "
                "and Prepend and Replace of the sentencepiece style"
            )
    document["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    document["model"]["dropout"] = None


def _added_tokens(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The added tokens, control tokens marked special in place."""
    added = [a for a in document.get("added_tokens") or () if a.get("content")]
    for entry in added:
        entry["special"] = is_control(entry["content"], bool(entry.get("special")))
    return added


def _check_coverage(vocab: dict[str, int], byte_level: bool, path: Path) -> None:
    pieces = (LETTER_OF_BYTE[byte] if byte_level else f"<0x{byte:02X}>" for byte in sorted(UTF8_BYTES))
    missing = [piece for piece in pieces if piece not in vocab]
    if missing:
        raise ModelDirectoryError(
            f"{path}: the vocabulary lacks {len(missing)} single bytes ({', '.join(missing[:8])}), so it cannot spell every "
            "file; use a tokenizer with a complete byte alphabet or byte fallback"
        )


def _check_ids(tokenizer: TokenizersTokenizer, added: list[dict[str, Any]], path: Path) -> None:
    """The library numbers added tokens by itself; a file that disagrees would give other ids than the model learned."""
    for entry in added:
        found = tokenizer.token_to_id(entry["content"])
        if found != entry["id"]:
            raise ModelDirectoryError(
                f"{path}: added token {entry['content']!r} has id {entry['id']}, but the tokenizers library gives it {found}; "
                "the vocabulary has a hole"
            )


def _metaspaces(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (part for part in _parts(document.get("pre_tokenizer"), "pretokenizers") if part.get("type") == "Metaspace")


def _metaspace_on_first_only(document: dict[str, Any]) -> bool:
    return any(part.get("prepend_scheme") == "first" for part in _metaspaces(document))


def _set_prepend_scheme(document: dict[str, Any], scheme: str) -> None:
    for part in _metaspaces(document):
        part["prepend_scheme"] = scheme
        part.pop("add_prefix_space", None)


def _spellings(vocab: dict[str, int], added: list[dict[str, Any]], byte_level: bool) -> tuple[bytes | None, ...]:
    size = max([*vocab.values(), *(entry["id"] for entry in added)]) + 1
    spellings: list[bytes | None] = [None] * size
    spell = byte_level_bytes if byte_level else metaspace_bytes
    for token, token_id in vocab.items():
        spellings[token_id] = spell(token)
    for entry in added:
        spellings[entry["id"]] = None if entry["special"] else entry["content"].encode()
    return tuple(spellings)
