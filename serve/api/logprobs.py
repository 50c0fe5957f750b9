"""Log probabilities in the two forms OpenAI has for them. Computes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.serve.api.served import TextCodec
from dovetail.serve.types import TokenLogprob

LEAST = -9999.0
"""What stands for an impossible token's log probability, as at OpenAI: JSON has no minus infinity."""


def chat_logprobs(codec: TextCodec, entries: Sequence[TokenLogprob]) -> dict[str, Any]:
    """``logprobs`` of a chat choice or delta."""
    return {
        "content": [
            {
                **_chat_token(codec, entry.token, entry.logprob),
                "top_logprobs": [_chat_token(codec, token, logprob) for token, logprob in entry.top],
            }
            for entry in entries
        ],
        "refusal": None,
    }


def completion_logprobs(codec: TextCodec, entries: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """``logprobs`` of a completions choice; ``offset``: characters that came before."""
    tokens = [_spelling(codec, entry.token) for entry in entries]
    offsets: list[int] = []
    for entry in entries:
        offsets.append(offset)
        offset += text_length(codec, entry)
    return {
        "tokens": tokens,
        "token_logprobs": [max(entry.logprob, LEAST) for entry in entries],
        "top_logprobs": [
            {_spelling(codec, token): max(logprob, LEAST) for token, logprob in entry.top} for entry in entries
        ],
        "text_offset": offsets,
    }


def text_length(codec: TextCodec, entry: TokenLogprob) -> int:
    """Characters that a token begins: continuation bytes of UTF-8 begin none."""
    return sum(1 for byte in codec.token_bytes(entry.token) or b"" if byte & 0xC0 != 0x80)


def _chat_token(codec: TextCodec, token: int, logprob: float) -> dict[str, Any]:
    spelling = codec.token_bytes(token)
    if spelling is None:
        return {"token": codec.decode([token]), "logprob": max(logprob, LEAST), "bytes": None}
    return {"token": spelling.decode("utf-8", "replace"), "logprob": max(logprob, LEAST), "bytes": list(spelling)}


def _spelling(codec: TextCodec, token: int) -> str:
    spelling = codec.token_bytes(token)
    if spelling is None:
        return codec.decode([token])
    try:
        return spelling.decode("utf-8")
    except UnicodeDecodeError:
        # As OpenAI writes them: several such tokens must stay apart as keys of top_logprobs.
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelling)
