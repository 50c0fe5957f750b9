"""Texts that are a little wrong: what the tests feed to both parsers. Knows no grammar."""

from __future__ import annotations

import random

PIECES = (
    b"(", b")", b"[", b"]", b"{", b"}", b"<", b">", b";", b",", b":", b".", b"=", b"|", b"&", b"@", b"$", b"#", b"`", b"\\", b"/", b"%",
    b"'", b'"', b"\n", b"\n\n", b"\r\n", b" ", b"    ", b"\t", b"0", b"x", b"if ", b"else", b"class ", b"end\n", b"return ", b"in ",
    b"/*", b"*/", b"//", b"<<EOF\n", b"EOF\n", b"</a>", b"<a>", b"<?php ", b"?>", b"- ", b'"""', b"${", b"#{", b"\xe2\x82\xac", b"\xc3\xa9",
    b"\xc3", b"\xff", b"\x00", b"\xef\xbb\xbf",
)  # fmt: skip


def corrupted(text: bytes, rng: random.Random, most: int = 4) -> bytes:
    """``text`` with up to ``most`` places changed: something put in, taken out or repeated."""
    mutable = bytearray(text)
    for _ in range(rng.randrange(1, most + 1)):
        place, kind = rng.randrange(len(mutable) + 1), rng.random()
        if kind < 0.5:
            mutable[place:place] = rng.choice(PIECES)
        elif kind < 0.8:
            del mutable[place : place + rng.choice((1, 1, 2, 5, 20))]
        else:
            source = rng.randrange(len(mutable) + 1)
            mutable[place:place] = mutable[source : source + rng.randrange(12)]
    return bytes(mutable)


def pieces(text: bytes, rng: random.Random, longest: int = 12) -> list[bytes]:
    """``text`` cut anywhere."""
    found, place = [], 0
    while place < len(text):
        stop = place + rng.randrange(1, longest + 1)
        found.append(text[place:stop])
        place = stop
    return found
