"""Logits of sample code: as a prompt, decoded token by token, and verified as drafts. Knows no text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.check.finding import Finding
from dovetail.models.decoder import Decoder
from dovetail.models.loader import load_model

MOST_TOKENS = 192
BLOCK = 16
LIMITS = {torch.float32: (1e-4, 0.99), torch.bfloat16: (2e-2, 0.95), torch.float16: (5e-3, 0.97)}
"""By type: the mean divergence (in nats) that rounding may cause, and the least share of positions with the same top token.
A mistake in the arithmetic shows as a tenth of a nat and more."""


def our_logits(directory: Path, tokens: Sequence[int], dtype: torch.dtype, device: str) -> Tensor:
    """``[len(tokens), vocabulary]``: two thirds as a prompt, then single tokens and drafts in turn."""
    model = load_model(directory, dtype=dtype, device=device, max_model_len=_room(tokens))
    blocks = _room(tokens) // BLOCK
    cache = KVCache.allocate(model.config, blocks, BLOCK, model.decoder.dtype, device)
    rows, at = [], 0
    sizes = [2 * len(tokens) // 3 or 1, *(1, 1, 5) * len(tokens)]
    while at < len(tokens):
        size = min(sizes.pop(0), len(tokens) - at)
        rows.append(_step(model.decoder, cache, tokens[at : at + size], at).cpu())
        at += size
    return torch.cat(rows)


def their_logits(directory: Path, tokens: Sequence[int], dtype: torch.dtype, device: str) -> Tensor:
    """The same by transformers, in one pass."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(directory)
    kind: Any = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    model = kind.from_pretrained(directory, dtype=dtype).to(device).eval()
    with torch.inference_mode():
        logits: Tensor = model(torch.tensor([list(tokens)], device=device), use_cache=False).logits[0]
    return logits.float().cpu()


def compare(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> Finding:
    """Mean divergence and shared top tokens, held against what rounding explains."""
    divergence, share = LIMITS[dtype]
    first, second = theirs.double().log_softmax(-1), ours.double().log_softmax(-1)
    mean = float((first.exp() * (first - second)).sum(-1).mean())
    same = int((ours.argmax(-1) == theirs.argmax(-1)).sum())
    largest = float((ours - theirs).abs().max())
    agrees = mean <= divergence and same >= share * len(ours)  # a NaN is no agreement
    said = f"{len(ours)} positions: mean divergence {mean:.1e} nats (at most {divergence:.0e}), "
    said += f"the same top token at {same}, largest difference {largest:.1e}"
    return Finding("logits", agrees, said)


def _room(tokens: Sequence[int]) -> int:
    return -(-len(tokens) // BLOCK) * BLOCK


def _step(decoder: Decoder, cache: KVCache, tokens: Sequence[int], first: int) -> Tensor:
    count, end = len(tokens), first + len(tokens)
    where = torch.arange(first, end, device=decoder.device)
    batch = RaggedBatch(
        token_ids=torch.tensor(list(tokens), device=decoder.device),
        positions=where,
        slots=where,
        query_starts=(0, count),
        context_lens=(end,),
        block_tables=torch.arange(cache.num_blocks, device=decoder.device).unsqueeze(0),
        logit_rows=torch.arange(count, device=decoder.device),
    )
    with torch.inference_mode():
        return decoder.forward(batch, cache)
