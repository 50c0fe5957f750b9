"""How many tokens a text may take, without a tokenizer: a bound that code rarely reaches."""

from __future__ import annotations

import math

_BYTES_A_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """Three bytes a token: tokenizers of code models take more than that for signatures and paths."""
    return math.ceil(len(text.encode("utf-8", "surrogateescape")) / _BYTES_A_TOKEN)
