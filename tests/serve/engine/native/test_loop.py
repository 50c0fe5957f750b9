"""The native engine on a tiny random model: what a request yields, alone and among others."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.models.batch import KVCache, RaggedBatch
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.engine.native.sampler import Rows
from dovetail.serve.types import Request, SamplingParams, TokensEvent

Run = Callable[..., dict[str, Any]]
PROMPTS = ["def add(a, b):\n    return a", "x", "class Counter:\n    def __init__(self):\n" * 3, "total = 0\n"]


def logits_of(tiny: Any, tokens: list[int]) -> torch.Tensor:
    """Logits after ``tokens``, in one pass over a fresh cache."""
    count = len(tokens)
    cache = KVCache.allocate(tiny.model.config, 1, count)
    batch = RaggedBatch(
        token_ids=torch.tensor(tokens),
        positions=torch.arange(count),
        slots=torch.arange(count),
        query_starts=(0, count),
        context_lens=(count,),
        block_tables=torch.tensor([[0]]),
        logit_rows=torch.tensor([count - 1]),
    )
    return tiny.model.decoder.forward(batch, cache)[0]


def test_greedy_is_the_models_own_continuation(tiny: Any, run: Run) -> None:
    request = tiny.request(PROMPTS[0], max_tokens=24, ignore_eos=True)
    result = run(tiny.engine(max_batched_tokens=7), [request])["r"]
    tokens = list(request.prompt)
    banned = sorted(tiny.tokenizer.eos_ids)
    for token in result.tokens:
        logits = logits_of(tiny, tokens)
        logits[banned] = -torch.inf
        assert token == int(logits.argmax())
        tokens.append(token)
    assert result.finish.reason == "length"
    assert result.finish.usage.completion_tokens == 24
    assert result.text == tiny.tokenizer.decode(result.tokens)


def mixed_requests(tiny: Any, count: int, seed: int = 0) -> list[Request]:
    """Requests with all kinds of sampling parameters."""
    rng = random.Random(seed)
    requests = []
    for number in range(count):
        sampling = {
            "temperature": rng.choice([0.0, 0.6, 1.0]),
            "top_p": rng.choice([1.0, 0.9]),
            "top_k": rng.choice([0, 12]),
            "min_p": rng.choice([0.0, 0.02]),
            "presence_penalty": rng.choice([0.0, 0.0, 0.4]),
            "repetition_penalty": rng.choice([1.0, 1.0, 1.2]),
            "seed": number,
            "max_tokens": rng.randrange(1, 40),
            "logprobs": rng.choice([None, 0, 3]),
        }
        requests.append(tiny.request(rng.choice(PROMPTS), f"r{number}", **sampling))
    return requests


def test_same_tokens_alone_and_in_a_batch_of_16(tiny: Any, run: Run) -> None:
    requests = mixed_requests(tiny, 16)
    together = run(tiny.engine(max_batched_tokens=48), requests)
    for request in requests:
        alone = run(tiny.engine(), [request])[request.request_id]
        assert alone.tokens == together[request.request_id].tokens
        assert alone.text == together[request.request_id].text


def test_same_tokens_when_blocks_run_out(tiny: Any, run: Run) -> None:
    requests = mixed_requests(tiny, 12, seed=3)
    plenty = run(tiny.engine(), requests)
    engine = tiny.engine(kv_blocks=30, max_batched_tokens=16)
    scarce = run(engine, requests)
    assert engine.stats().preemptions > 0
    for name, result in plenty.items():
        assert result.tokens == scarce[name].tokens


def test_drafts_change_nothing_but_the_number_of_passes(tiny: Any, run: Run) -> None:
    text = "for index, name in enumerate(names):\n    print(index)\n" * 4
    for temperature in (0.0, 0.4):
        request = tiny.request(
            text, temperature=temperature, seed=5, max_tokens=120, ignore_eos=True, logit_bias={40: 6.0}
        )
        drafted = run(tiny.engine(), [request])["r"]
        plain = run(tiny.engine(max_draft=0), [request])["r"]
        assert drafted.tokens == plain.tokens
        assert plain.finish.usage.drafted == 0 and plain.finish.usage.forward_passes >= 120
        assert drafted.finish.usage.accepted > 0
        assert drafted.finish.usage.forward_passes < plain.finish.usage.forward_passes
        assert "drafted" in drafted.origins


def test_stop_strings_cut_the_text_and_are_never_sent(tiny: Any, run: Run) -> None:
    free = run(tiny.engine(), [tiny.request(max_tokens=30, ignore_eos=True)])["r"]
    for start in range(2, len(free.text) - 3, 5):
        stop = free.text[start : start + 3]
        if "\ufffd" in stop:
            continue
        result = run(tiny.engine(), [tiny.request(max_tokens=30, ignore_eos=True, stop=("never there", stop))])["r"]
        assert result.text == free.text[: free.text.index(stop)]
        assert (result.finish.reason, result.finish.stop) == ("stop", stop)


def test_stop_tokens_and_min_tokens(tiny: Any, run: Run) -> None:
    free = run(tiny.engine(), [tiny.request(max_tokens=10, ignore_eos=True)])["r"]
    token = free.tokens[4]
    stopped = run(
        tiny.engine(),
        [
            tiny.request(
                max_tokens=10, stop_token_ids=(token,), logit_bias=dict.fromkeys(tiny.tokenizer.eos_ids, -100.0)
            )
        ],
    )["r"]
    assert stopped.tokens == free.tokens[: free.tokens.index(token)]
    assert stopped.finish.stop == token
    eos = min(tiny.tokenizer.eos_ids)
    at_once = run(tiny.engine(), [tiny.request(logit_bias={eos: 100.0})])["r"]
    assert at_once.tokens == [] and at_once.finish.reason == "stop"
    later = run(tiny.engine(), [tiny.request(logit_bias={eos: 100.0}, min_tokens=6)])["r"]
    assert len(later.tokens) == 6 and later.finish.reason == "stop"


def test_logprobs_match_the_model(tiny: Any, run: Run) -> None:
    request = tiny.request(max_tokens=5, logprobs=4, ignore_eos=True)
    result = run(tiny.engine(), [request])["r"]
    tokens = list(request.prompt)
    for token, entry in zip(result.tokens, result.logprobs, strict=True):
        want = logits_of(tiny, tokens).log_softmax(-1)
        assert entry.token == token
        assert entry.logprob == pytest.approx(float(want[token]), abs=1e-4)
        assert [t for t, _ in entry.top] == want.topk(4).indices.tolist()
        tokens.append(token)


def test_bad_requests_end_with_an_error_and_harm_nobody(tiny: Any, run: Run) -> None:
    params = SamplingParams(max_tokens=4, temperature=0)
    bad = [
        Request(request_id="empty", prompt=(), sampling=params),
        Request(request_id="outside", prompt=(10**6,), sampling=params),
        Request(request_id="long", prompt=(1,) * 600, sampling=params),
        Request(request_id="nothing", prompt=(1,), sampling=SamplingParams(max_tokens=0)),
    ]
    results = run(tiny.engine(), [tiny.request(), *bad])
    assert results["r"].finish.reason in ("stop", "length")
    assert {name: result.error.param for name, result in results.items() if result.error} == {
        "empty": "prompt",
        "outside": "prompt",
        "long": "prompt",
        "nothing": "max_tokens",
    }
    assert results["long"].error.code == "context_length_exceeded"


def test_a_running_id_is_refused(tiny: Any) -> None:
    engine = tiny.engine()
    assert engine.add(tiny.request()) == []
    assert engine.add(tiny.request())[0].code == "duplicate_request"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["add", "cancel", "step"]), st.integers(0, 5)), max_size=60))
def test_any_mix_of_adds_cancels_and_steps_leaks_nothing(tiny: Any, actions: list[tuple[str, int]]) -> None:
    engine = tiny.engine(kv_blocks=24, max_batched_tokens=24, max_num_seqs=3)
    requests = mixed_requests(tiny, 6, seed=1)
    alive: set[str] = set()
    for action, number in actions:
        name = f"r{number}"
        if action == "add" and name not in alive:
            assert engine.add(requests[number]) == []
            alive.add(name)
        elif action == "cancel":
            engine.cancel(name)
            alive.discard(name)
        else:
            for event in engine.step():
                assert event.request_id in alive, "an event of a request that has ended"
                if type(event).__name__ == "FinishEvent":
                    alive.discard(event.request_id)
        engine.check()
    while engine.busy:
        engine.step()
        engine.check()
    assert engine.stats().kv_blocks_free == 24


def test_a_second_turn_computes_only_what_is_new(tiny: Any, run: Run) -> None:
    engine = tiny.engine()
    first = tiny.request(PROMPTS[2], "first", max_tokens=12, ignore_eos=True)
    answer = run(engine, [first])["first"]
    turn = (*first.prompt, *answer.tokens, *tiny.tokenizer.encode("next question"))
    second = Request(request_id="second", prompt=turn, sampling=first.sampling)
    warm = run(engine, [second])["second"]
    assert warm.finish.usage.cached_tokens >= len(first.prompt) + len(answer.tokens) - 4 - 1
    cold = run(tiny.engine(), [second])["second"]
    assert cold.finish.usage.cached_tokens == 0
    assert warm.tokens == cold.tokens
    other = Request(request_id="other", prompt=turn, sampling=first.sampling, cache_salt="another tenant")
    assert run(engine, [other])["other"].finish.usage.cached_tokens == 0


def test_a_timeout_ends_one_request_and_no_other(tiny: Any, run: Run) -> None:
    patient = tiny.request(max_tokens=30, ignore_eos=True)
    hasty = Request(request_id="hasty", prompt=patient.prompt, sampling=patient.sampling, timeout_s=0.0)
    results = run(tiny.engine(), [patient, hasty])
    assert (results["hasty"].error.status, results["hasty"].error.code) == (504, "deadline_exceeded")
    assert len(results["r"].tokens) == 30


def test_a_prediction_changes_the_passes_not_the_tokens(tiny: Any, run: Run) -> None:
    request = tiny.request(max_tokens=60, ignore_eos=True, temperature=1.0, seed=4)
    plain = run(tiny.engine(), [request])["r"]
    wrong_in_the_middle = (*plain.tokens[:30], 5, *plain.tokens[31:])
    predicted = Request(
        request_id="p", prompt=request.prompt, sampling=request.sampling, prediction=wrong_in_the_middle
    )
    result = run(tiny.engine(), [predicted])["p"]
    assert result.tokens == plain.tokens
    usage = result.finish.usage
    assert usage.predicted_accepted >= 40
    assert usage.predicted >= usage.predicted_accepted
    assert usage.forward_passes <= plain.finish.usage.forward_passes / 3


def test_special_tokens_are_text_where_a_request_says_so(tiny: Any, run: Run) -> None:
    name, token = next(
        (name, token) for name, token in tiny.tokenizer.special.items() if token not in tiny.tokenizer.eos_ids
    )
    request = tiny.request("x", max_tokens=3, logit_bias={token: 100.0})
    assert run(tiny.engine(), [request])["r"].text == ""
    assert run(tiny.engine(), [msgspec.structs.replace(request, visible=(token,))])["r"].text == name * 3


def test_a_sampler_given_from_outside_is_believed(tiny: Any, run: Run) -> None:
    told = [5, 9, 5, 9, 7, 5, 9, 5, 9, 7, 5, 9, 5, 9, 7]
    said: list[int] = []

    def teach(logits: torch.Tensor, rows: Rows) -> list[int]:
        return told[len(said) : len(said) + len(rows.params)]

    sizes = NativeSettings(max_model_len=64, kv_blocks=20, max_draft=4, eager_drafts=True)
    engine = NativeEngine(tiny.model, tiny.tokenizer, sizes, lambda spec: pytest.fail("no constraint"), sample=teach)
    engine.add(tiny.request(PROMPTS[1], max_tokens=len(told), ignore_eos=True))
    passes = 0
    while engine.busy:
        said += [token for event in engine.step() if isinstance(event, TokensEvent) for token in event.tokens]
        passes += 1
    assert said == told
    assert passes < len(told), "what repeats was drafted"
