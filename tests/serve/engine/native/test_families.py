"""Families whose layers differ from the plain ones through the whole engine: chunks, cached prefixes, drafts and batches change
no token."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dovetail.models.loader import load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer

FAMILIES: dict[str, dict[str, Any]] = {
    "gemma3": {"sliding_window": 9},
    "gpt-oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 9},
    "qwen3-moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "starcoder2": {"sliding_window": 9},
}
TEXT = "def add(a, b):\n    return a + b\n\n\ndef add(a, b):\n    return a + b\n\n\ndef add("


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_tokens_however_they_are_computed(family: str, tiny: Any, run: Any, tmp_path: Any) -> None:
    directory = write_random_checkpoint(tmp_path, family=family, hidden=32, config=FAMILIES[family])
    kind = type(tiny)(load_model(directory), Tokenizer.load(directory))
    alone = run(kind.engine(max_draft=0, max_batched_tokens=512), [kind.request(TEXT, "a")])["a"].tokens
    assert len(alone) == 20
    engine = kind.engine(max_draft=8, max_batched_tokens=24, max_num_seqs=4)
    texts = {"a": TEXT, "b": TEXT, "c": "class A:\n" + TEXT}
    first = run(engine, [kind.request(text, name) for name, text in texts.items()])
    expecting = msgspec.structs.replace(kind.request(TEXT, "d"), prediction=tuple(alone))
    again = run(engine, [expecting, kind.request(TEXT + "x", "e")])
    assert [first["a"].tokens, first["b"].tokens, again["d"].tokens] == [alone] * 3
    assert engine.stats().cached_tokens > 0
    assert engine.stats().accepted_tokens > 0
