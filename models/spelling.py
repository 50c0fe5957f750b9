"""The exact bytes a token spells, for the two ways vocabularies write them down. Knows no tokenizer library."""

from __future__ import annotations

import re

METASPACE = "\u2581"
"""Stands for a space in sentencepiece vocabularies."""

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for the 256 bytes: printable Latin-1 stands for itself, the rest for U+0100 onwards."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF_LETTER = _byte_alphabet()
LETTER_OF_BYTE = {byte: letter for letter, byte in BYTE_OF_LETTER.items()}
UTF8_BYTES = frozenset(range(256)) - {0xC0, 0xC1} - frozenset(range(0xF5, 0x100))
"""The bytes that occur in UTF-8: the ones a vocabulary must be able to spell."""


def byte_level_bytes(token: str) -> bytes:
    """What a token of a byte-level vocabulary spells.

    A token with a character outside the byte alphabet was added as ordinary text and spells its own UTF-8.
    """
    try:
        return bytes(BYTE_OF_LETTER[letter] for letter in token)
    except KeyError:
        return token.encode()


def metaspace_bytes(token: str) -> bytes:
    """What a token of a sentencepiece vocabulary spells: ``<0x0A>`` is a byte, ``▁`` a space."""
    match = _BYTE_PIECE.fullmatch(token)
    return bytes([int(match.group(1), 16)]) if match else token.replace(METASPACE, " ").encode()
