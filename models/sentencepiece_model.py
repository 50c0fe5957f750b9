"""Reads tokenizer.model with the sentencepiece library, and the added tokens that live in JSON files beside it.

Knows the file's layout. A model without byte fallback cannot spell every text and is refused. Sentencepiece writes a
space as ``▁`` and so takes a ``▁`` in the text for a space: that one character does not come back as itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import sentencepiece

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_optional_json
from dovetail.models.shield import SpecialRule
from dovetail.models.spelling import METASPACE, UTF8_BYTES, metaspace_bytes
from dovetail.models.vocabulary_file import is_control

_NO_DUMMY_PREFIX = b"\x1a\x02\x18\x00"
"""Protobuf for ``normalizer_spec { add_dummy_prefix: false }``: appended to a serialised model, it overrides the field."""


class SentencepieceModel:
    """A tokenizer.model, read. Implements :class:`dovetail.models.vocabulary_file.VocabularyFile`.

    A space is put before the text, and, where tokenizer_config.json does not say ``"legacy": false``, before every text
    that follows a special token: as the models were trained.

    Raises:
        ModelDirectoryError: the file is damaged or has no byte fallback.
    """

    frame: tuple[int, ...] = ()
    tail: tuple[int, ...] = ()

    def __init__(self, path: Path) -> None:
        config = read_optional_json(path.parent / "tokenizer_config.json")
        serialised = path.read_bytes()
        self._spaced = _processor(serialised, path)
        self._bare = _processor(serialised + _NO_DUMMY_PREFIX, path)
        self._legacy = bool(config.get("legacy", True))
        _check_coverage(self._spaced, path)
        added = _added_tokens(path.parent, config)
        self.special: dict[str, int] = _control_pieces(self._spaced)
        self.special.update({content: entry["id"] for content, entry in added.items() if entry["special"]})
        self.rules = {
            content: SpecialRule(
                added.get(content, {}).get("lstrip", False), added.get(content, {}).get("rstrip", False)
            )
            for content in self.special
        }
        self.spellings = _spellings(self._spaced, self.special, added)
        self._added = {content: entry["id"] for content, entry in added.items() if not entry["special"]}
        longest_first = sorted(self._added, key=len, reverse=True)
        self._added_pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def encode(self, text: str, *, first: bool) -> list[int]:
        """Encode text in which special-token strings are ordinary text."""
        ids: list[int] = []
        position = 0
        processor = self._spaced if first or self._legacy else self._bare
        for match in self._added_pattern.finditer(text) if self._added_pattern else ():
            ids += processor.encode(text[position : match.start()])
            ids.append(self._added[match.group()])
            position = match.end()
            processor = self._bare
        return cast("list[int]", ids + processor.encode(text[position:]))


def _processor(serialised: bytes, path: Path) -> Any:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(serialised)
    except RuntimeError as error:
        raise ModelDirectoryError(f"{path}: not a sentencepiece model ({error}); copy the file again") from error
    return processor


def _check_coverage(processor: Any, path: Path) -> None:
    pieces = {processor.id_to_piece(i) for i in range(processor.get_piece_size()) if processor.is_byte(i)}
    if any(f"<0x{byte:02X}>" not in pieces for byte in UTF8_BYTES):
        raise ModelDirectoryError(
            f"{path}: trained without byte fallback, so it cannot spell every file; not supported"
        )


def _control_pieces(processor: Any) -> dict[str, int]:
    """Control and unknown pieces, and user-defined ones that are written like control tokens."""
    return {
        processor.id_to_piece(i): i
        for i in range(processor.get_piece_size())
        if processor.is_control(i) or processor.is_unknown(i) or is_control(processor.id_to_piece(i), special=False)
    }


def _added_tokens(directory: Path, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Tokens beyond the model: ``added_tokens_decoder`` of tokenizer_config.json, else added_tokens.json."""
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        entries = {entry["content"]: {**entry, "id": int(key)} for key, entry in decoder.items()}
    else:
        beside = read_optional_json(directory / "added_tokens.json")
        entries = {content: {"content": content, "id": token_id} for content, token_id in beside.items()}
    for content, entry in entries.items():
        entry["special"] = is_control(content, bool(entry.get("special")))
    return entries


def _spellings(processor: Any, special: dict[str, int], added: dict[str, dict[str, Any]]) -> tuple[bytes | None, ...]:
    count = processor.get_piece_size()
    size = max([count - 1, *(entry["id"] for entry in added.values())]) + 1
    spellings: list[bytes | None] = [None] * size
    for i in range(count):
        if not processor.is_unused(i):
            piece = processor.id_to_piece(i)
            spellings[i] = metaspace_bytes(piece) if processor.is_byte(i) else piece.replace(METASPACE, " ").encode()
    for entry in added.values():
        spellings[entry["id"]] = entry["content"].encode()
    for token_id in special.values():
        spellings[token_id] = None
    return tuple(spellings)
