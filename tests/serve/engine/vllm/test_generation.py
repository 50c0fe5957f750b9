"""Requests on vLLM's seams: parameters as they were asked for, ends as the native engine has them, nothing left behind."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
import pytest
from fake_vllm import GenerationError, GracefulHTTPError

from dovetail.serve.engine.vllm.backend import BackendGone


def greedy(fake: Any, prompt: tuple[int, ...], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(fake.vllm.logits(ids).argmax()))
    return ids[len(prompt) :]


def test_the_output_is_the_models_own(fake: Any) -> None:
    core = fake.core()
    request = fake.request(ignore_eos=True)
    result = fake.run(core, request)["r"]
    assert result.tokens == greedy(fake, request.prompt, 20)
    assert result.text == fake.tokenizer.decode(result.tokens)
    assert set(result.origins) == {"sampled"}
    assert (result.finish.reason, result.finish.constraint) == ("length", None)
    assert result.finish.usage.completion_tokens == 20
    assert result.finish.usage.forward_passes == 20
    assert not fake.vllm.aborted


def test_parameters_arrive_under_vllms_names(fake: Any) -> None:
    core = fake.core()
    asked = fake.request(
        max_tokens=7, min_tokens=3, temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, seed=11, presence_penalty=0.25,
        frequency_penalty=0.5, repetition_penalty=1.25, logit_bias={4: 2.0, 100_000: 5.0}, stop_token_ids=(9, 100_000),
        logprobs=3,
    )  # fmt: skip
    fake.run(core, msgspec.structs.replace(asked, priority=4, cache_salt="tenant"))
    [ask] = fake.vllm.asks
    sent = ask.sampling
    assert (ask.priority, sent.seed, sent.max_tokens, sent.min_tokens) == (4, 11, 7, 3)
    assert (sent.temperature, sent.top_p, sent.top_k, sent.min_p) == (0.5, 0.9, 40, 0.05)
    assert (sent.presence_penalty, sent.frequency_penalty, sent.repetition_penalty) == (0.25, 0.5, 1.25)
    assert sent.logit_bias == {4: 2.0}
    assert set(sent.stop_token_ids) == {9, *fake.tokenizer.eos_ids}
    assert sent.logprobs == 3


def test_stop_tokens_end_it_and_are_not_part_of_it(fake: Any) -> None:
    core = fake.core()
    tokens = greedy(fake, fake.request().prompt, 20)
    place = next(at for at in range(3, 20) if tokens[at] not in tokens[:at])
    stopped = fake.run(core, fake.request(stop_token_ids=(tokens[place],), ignore_eos=False))["r"]
    assert stopped.tokens == tokens[:place]
    assert (stopped.finish.reason, stopped.finish.stop) == ("stop", tokens[place])
    later = fake.run(core, fake.request(name="later", stop_token_ids=(tokens[place],), min_tokens=place + 1))["later"]
    assert len(later.tokens) > place and later.tokens[place] != tokens[place]
    ignored = fake.run(core, fake.request(name="on", stop_token_ids=(tokens[place],), ignore_eos=True))["on"]
    assert ignored.tokens == tokens


def test_a_stop_string_cuts_the_text_and_ends_the_work(fake: Any) -> None:
    core = fake.core()
    whole = fake.run(core, fake.request(ignore_eos=True))["r"].text
    stop = whole[6:9]
    result = fake.run(core, fake.request(name="s", stop=(stop,), ignore_eos=True))["s"]
    assert result.text == whole[: whole.index(stop)]
    assert (result.finish.reason, result.finish.stop) == ("stop", stop)
    assert fake.vllm.aborted == ["s.1"]


def test_logprobs_are_the_models(fake: Any) -> None:
    core = fake.core()
    request = fake.request(max_tokens=4, logprobs=2, temperature=1.0, seed=5, ignore_eos=True)
    result = fake.run(core, request)["r"]
    ids = list(request.prompt)
    for token, told in zip(result.tokens, result.logprobs, strict=True):
        raw = fake.vllm.logits(ids)
        normal = raw - np.log(np.exp(raw).sum())
        assert told.token == token
        assert told.logprob == pytest.approx(normal[token])
        assert [each for each, _ in told.top] == np.argsort(-normal)[:2].tolist()
        ids.append(token)


def test_cached_prefixes_are_counted_and_never_shared_between_salts(fake: Any) -> None:
    core = fake.core()
    text = "x = 1\n" * 20
    fake.run(core, fake.request(text))
    again = fake.run(core, fake.request(text, name="again"))["again"]
    assert again.finish.usage.cached_tokens >= 16
    other = msgspec.structs.replace(fake.request(text, name="salted"), cache_salt="other")
    assert fake.run(core, other)["salted"].finish.usage.cached_tokens == 0
    assert core.stats().cached_tokens == again.finish.usage.cached_tokens


def test_what_cannot_be_served_is_refused_and_harms_nobody(fake: Any) -> None:
    core = fake.core(window=64)
    pooled = msgspec.structs.replace(fake.request(name="pooled"), pooling="mean")
    foreign = msgspec.structs.replace(fake.request(name="foreign"), adapter="sql")
    results = fake.run(
        core,
        fake.request(name="fine", ignore_eos=True),
        fake.request(name="long", max_tokens=100),
        fake.request(name="hot", temperature=2.5),
        pooled,
        foreign,
    )
    assert results["fine"].finish is not None
    assert results["long"].error.code == "context_length_exceeded"
    assert (results["hot"].error.status, results["hot"].error.param) == (400, "temperature")
    assert "makes no embeddings" in results["pooled"].error.message
    assert results["foreign"].error.status == 404


def test_a_running_id_is_refused(fake: Any) -> None:
    core = fake.core()
    core.add(fake.request(max_tokens=400, ignore_eos=True))
    [error] = core.add(fake.request())
    assert error.code == "duplicate_request"
    core.cancel("r")


def until(core: Any, condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        core.step()


def test_a_cancel_ends_it_in_vllm_too_and_is_the_last_of_it(fake: Any) -> None:
    core = fake.core()
    core.add(fake.request(max_tokens=450, ignore_eos=True))
    until(core, lambda: core.step())
    core.cancel("r")
    assert not core.busy
    until(core, lambda: fake.vllm.aborted)
    assert core.step() == []
    assert core.stats().finished == {"cancelled": 1}


def test_a_timeout_ends_one_request_and_no_other(fake: Any) -> None:
    core = fake.core()
    hasty = msgspec.structs.replace(fake.request(name="hasty", max_tokens=450, ignore_eos=True), timeout_s=0.0)
    results = fake.run(core, hasty, fake.request(name="calm", ignore_eos=True))
    assert (results["hasty"].error.status, results["hasty"].error.code) == (504, "deadline_exceeded")
    assert len(results["calm"].tokens) == 20


def test_an_engine_that_died_ends_this_one(fake: Any) -> None:
    core = fake.core()
    core.add(fake.request(max_tokens=450, ignore_eos=True))
    until(core, lambda: core.step())
    fake.vllm.dead = True
    with pytest.raises(BackendGone, match="EngineCore"):
        until(core, lambda: False)
    core.cancel("r")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (GracefulHTTPError("its queue is full", HTTPStatus.SERVICE_UNAVAILABLE), 503, "engine_unavailable"),
        (GenerationError("a worker lost its blocks"), 500, "engine_failed"),
    ],
)
def test_a_request_that_is_turned_away_harms_nobody(fake: Any, error: Exception, status: int, code: str) -> None:
    core = fake.core()
    fake.vllm.turns_away = error
    told = fake.run(core, fake.request(name="unlucky"))["unlucky"].error
    assert (told.status, told.code) == (status, code) and str(error) in told.message
    fake.vllm.turns_away = None
    assert fake.run(core, fake.request(name="later", ignore_eos=True))["later"].finish is not None


def test_figures(fake: Any) -> None:
    core = fake.core()
    core.add(fake.request(max_tokens=450, ignore_eos=True))
    until(core, lambda: core.stats().running)
    stats = core.stats()
    assert (stats.running, stats.kv_blocks_total, stats.kv_blocks_free) == (1, 100, 75)
    core.cancel("r")
    stats = core.stats()
    assert (stats.running, stats.waiting, stats.kv_blocks_free) == (0, 0, 100), (
        "vLLM itself says so with its next step only"
    )
    core = fake.core()
    fake.run(core, fake.request(ignore_eos=True))
    stats = core.stats()
    assert (stats.generated_tokens, stats.prompt_tokens) == (20, len(fake.request().prompt))
    assert stats.steps > 0
    assert stats.finished == {"length": 1}


def test_adapters_are_told_apart_by_numbers(fake: Any) -> None:
    core = fake.core(adapters=True)
    core.load_adapter("sql", "/adapters/sql")
    first = msgspec.structs.replace(fake.request(name="first"), adapter="sql")
    fake.run(core, first)
    core.load_adapter("sql", "/adapters/newer")
    second = msgspec.structs.replace(first, request_id="second")
    fake.run(core, second)
    one, two = (ask.lora for ask in fake.vllm.asks)
    assert (one.lora_path, two.lora_path) == ("/adapters/sql", "/adapters/newer")
    assert one.lora_int_id != two.lora_int_id and one.lora_name != two.lora_name
    with pytest.raises(Exception, match="no adapter_model"):
        core.load_adapter("bad", "/adapters/damaged")
    core.unload_adapter("sql")
    assert fake.run(core, msgspec.structs.replace(first, request_id="third"))["third"].error.status == 404


def test_adapters_have_to_be_expected(fake: Any) -> None:
    with pytest.raises(Exception, match="--lora"):
        fake.core().load_adapter("sql", "/adapters/sql")


def test_closing_ends_vllm(fake: Any) -> None:
    core = fake.core()
    core.add(fake.request(max_tokens=450, ignore_eos=True))
    core.close()
    fake.cores.clear()
    assert fake.vllm.shut_down
