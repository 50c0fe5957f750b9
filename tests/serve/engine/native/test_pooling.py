"""Vectors of prompts out of the step loop: beside generation, in chunks, taken away and computed again."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.models.pooling import without_head
from dovetail.serve.types import Request, SamplingParams

TEXTS = ["def add(a, b):\n    return a + b\n", "class Counter:", "x", "for index, name in enumerate(names): pass"]


def embed(tiny, text: str, name: str, pooling: str = "mean") -> Request:
    prompt = tuple(tiny.tokenizer.encode(text))
    return Request(request_id=name, prompt=prompt, sampling=SamplingParams(max_tokens=0), pooling=pooling)


@torch.inference_mode()
def states(tiny, request: Request) -> np.ndarray:
    """The hidden states of the prompt in one pass."""
    count = len(request.prompt)
    blocks = -(-count // 4)
    batch = RaggedBatch(
        token_ids=torch.tensor(request.prompt),
        positions=torch.arange(count),
        slots=torch.arange(count),
        query_starts=(0, count),
        context_lens=(count,),
        block_tables=torch.arange(blocks).view(1, -1),
        logit_rows=torch.arange(count),
    )
    cache = KVCache.allocate(tiny.model.config, blocks, 4)
    return without_head(tiny.model.decoder).forward(batch, cache).numpy()


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("sizes", [{}, {"max_batched_tokens": 5, "max_num_seqs": 5}, {"kv_blocks": 16}])
def test_vectors_are_those_of_one_pass(tiny, run, pooling, sizes):
    asked = [embed(tiny, text, f"e{index}", pooling) for index, text in enumerate(TEXTS)]
    talk = tiny.request(name="talk")
    alone = run(tiny.engine(), [talk])["talk"].tokens
    results = run(tiny.engine(**sizes), [asked[0], talk, *asked[1:]])
    assert results["talk"].tokens == alone
    for request in asked:
        finish = results[request.request_id].finish
        hidden = states(tiny, request)
        wanted = hidden.mean(0) if pooling == "mean" else hidden[-1]
        np.testing.assert_allclose(np.frombuffer(finish.vector, "<f4"), wanted, atol=2e-5, rtol=1e-4)
        assert (finish.usage.prompt_tokens, finish.usage.completion_tokens) == (len(request.prompt), 0)


def test_a_prefix_is_reused_for_the_last_token_only(tiny, run):
    engine = tiny.engine()
    vectors = {}
    for pooling, cached in (("last", False), ("last", True), ("mean", False), ("mean", False)):
        [result] = run(engine, [embed(tiny, TEXTS[0], "e", pooling)]).values()
        assert (result.finish.usage.cached_tokens > 0) == cached
        vectors.setdefault(pooling, []).append(np.frombuffer(result.finish.vector, "<f4"))
    for first, second in vectors.values():
        np.testing.assert_allclose(first, second, atol=2e-5, rtol=1e-4)


def test_what_does_not_fit_is_refused(tiny, run):
    long = msgspec.structs.replace(embed(tiny, "x", "e"), prompt=(1,) * 64)
    engine = tiny.engine(kv_blocks=16, max_model_len=64)
    assert run(engine, [long])["e"].error.code == "context_length_exceeded"
    assert run(engine, [msgspec.structs.replace(long, prompt=(1,) * 63)])["e"].finish is not None
