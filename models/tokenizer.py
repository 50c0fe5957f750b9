"""Text to token ids and back, exactly. Knows the tokenizer's files; nothing of prompts, requests or weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dovetail.models.detokenizer import Detokenizer, DetokenizerMark
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_optional_json
from dovetail.models.sentencepiece_model import SentencepieceModel
from dovetail.models.shield import Shield
from dovetail.models.tiktoken_file import find_tiktoken, read_tiktoken
from dovetail.models.tokenizer_json import TokenizerJson
from dovetail.models.vocabulary_file import VocabularyFile

__all__ = ["Detokenizer", "DetokenizerMark", "Tokenizer"]


class Tokenizer:
    """One model's tokenizer. Thread-safe.

    Attributes:
        size: the highest id + 1. The embedding may have more rows; ids from ``size`` up spell nothing.
        special: special-token strings and their ids: those flagged special, and those written ``<|like_this|>``.
        eos_ids: every id that ends an output, as generation_config.json, config.json and tokenizer_config.json say.
        bos_id: the beginning-of-sequence token, or None if the tokenizer has none.
        tail: the ids that are meant to follow a text of its own, such as one to be embedded.
        wants_bos: whether raw prompts (no template) are meant to begin with it.
        adds_space: whether ``encode`` puts a space before the text, as sentencepiece models do.
    """

    def __init__(
        self,
        file: VocabularyFile,
        *,
        eos_ids: frozenset[int],
        bos_id: int | None,
        wants_bos: bool,
        tail: tuple[int, ...] = (),
    ) -> None:
        self._file = file
        self._spellings = file.spellings
        self._special_ids = frozenset(file.special.values())
        self._shield = Shield(file.rules)
        self.size = len(file.spellings)
        self.special: dict[str, int] = dict(file.special)
        self.eos_ids = eos_ids
        self.bos_id = bos_id
        self.wants_bos = wants_bos
        self.tail = tail
        self.adds_space = self._bytes(file.encode("a", first=True)) == b" a"

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read the tokenizer of a model directory: tokenizer.json, or else tokenizer.model, or else a tiktoken file.

        Raises:
            ModelDirectoryError: neither file is there, or it is damaged or unsupported.
        """
        file: VocabularyFile
        if (path / "tokenizer.json").is_file():
            file = TokenizerJson(path / "tokenizer.json")
        elif (path / "tokenizer.model").is_file():
            file = SentencepieceModel(path / "tokenizer.model")
        elif (tiktoken := find_tiktoken(path)) is not None:
            file = read_tiktoken(tiktoken)
        else:
            raise ModelDirectoryError(f"{path}: no tokenizer.json and no tokenizer.model; copy one into the directory")
        config = read_optional_json(path / "config.json")
        generation = read_optional_json(path / "generation_config.json")
        own = read_optional_json(path / "tokenizer_config.json")
        eos = {
            *_ids(generation.get("eos_token_id")),
            *_ids(config.get("eos_token_id")),
            *_named(own, "eos_token", file),
        }
        if "bos_token" in own:
            bos = _named(own, "bos_token", file)
        else:
            bos = _ids(generation.get("bos_token_id", config.get("bos_token_id")))
        wants = own.get("add_bos_token", file.frame[:1] == tuple(bos[:1]))
        return cls(
            file,
            eos_ids=frozenset(i for i in eos if i < len(file.spellings)),
            bos_id=bos[0] if bos else None,
            wants_bos=bool(bos) and bool(wants),
            tail=file.tail or (tuple(_named(own, "eos_token", file)) if own.get("add_eos_token") else ()),
        )

    def encode(self, text: str, *, add_bos: bool = False) -> list[int]:
        """Ids of ordinary text. Special-token strings in it are text like any other, never special ids.

        Args:
            text: any Unicode text.
            add_bos: begin with ``bos_id``, where there is one.

        Raises:
            ValueError: a lone surrogate, which is no Unicode text.
        """
        ids = [self.bos_id] if add_bos and self.bos_id is not None else []
        return ids + self._encode(text, first=True)

    def encode_rendered(self, text: str) -> list[int]:
        """Ids of a rendered template: special-token strings are special ids, but not those that were shielded.

        Raises:
            ValueError: a lone surrogate, which is no Unicode text.
        """
        ids: list[int] = []
        first = True
        for piece, special in self._shield.split(text):
            if special is None:
                ids += self._encode(piece, first=first)
            else:
                ids.append(self.special[special])
            first = False
        return ids

    def encode_prompt(self, text: str, *, add_bos: bool = True) -> list[int]:
        """Ids of a raw prompt without a template: special-token strings in it are special ids (clients write
        fill-in-the-middle prompts so), with ``add_bos`` after the beginning-of-sequence token if the model wants one.

        Raises:
            ValueError: a lone surrogate, which is no Unicode text.
        """
        ids = self.encode_rendered(text)
        if add_bos and self.wants_bos and self.bos_id is not None and ids[:1] != [self.bos_id]:
            ids.insert(0, self.bos_id)
        return ids

    def encode_whole(self, text: str) -> list[int]:
        """Ids of a text of its own, framed as the model learned texts; special-token strings in it are ordinary text.

        Raises:
            ValueError: a lone surrogate, which is no Unicode text.
        """
        return [*self.encode(text, add_bos=self.wants_bos), *self.tail]

    def shield(self, text: str) -> str:
        """Mark a user's text so that it stays plain text through a template and :meth:`encode_rendered`."""
        return self._shield.protect(text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``: special tokens give nothing, bytes that are not UTF-8 become U+FFFD.

        The inverse of :meth:`encode`: the space that ``encode`` adds in front (``adds_space``) is taken off again. A
        continuation should go through a :class:`Detokenizer`, which strips nothing.
        """
        text = self._bytes(ids).decode(errors="replace")
        return text.removeprefix(" ") if self.adds_space else text

    def token_bytes(self, token_id: int) -> bytes | None:
        """The exact bytes ``token_id`` spells; None for special, control and unused ids."""
        return self._spellings[token_id] if 0 <= token_id < self.size else None

    def detokenizer(self, visible: Collection[int] = ()) -> Detokenizer:
        """A fresh incremental detokenizer; the special tokens among ``visible`` give the strings they are written as."""
        spelled = {token: name.encode() for name, token in self.special.items() if token in visible} if visible else {}
        return Detokenizer(self, spelled)

    def _encode(self, text: str, *, first: bool) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"lone surrogate at character {error.start}: not Unicode text") from None
        ids = self._file.encode(text, first=first)
        if self._special_ids.isdisjoint(ids):
            return ids
        pieces = self._shield.cuts(text)
        return [i for at, piece in enumerate(pieces) for i in self._file.encode(piece, first=first and at == 0)]

    def _bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(self.token_bytes(token_id) or b"" for token_id in ids)


def _ids(value: Any) -> list[int]:
    """``eos_token_id`` and its kin: null, one id or a list."""
    if value is None:
        return []
    return [int(item) for item in value] if isinstance(value, list) else [int(value)]


def _named(config: Mapping[str, Any], key: str, file: VocabularyFile) -> list[int]:
    """The id of a token that tokenizer_config.json names by its string (or ``{"content": string}``)."""
    value = config.get(key)
    content = value.get("content") if isinstance(value, dict) else value
    return [file.special[content]] if isinstance(content, str) and content in file.special else []
