"""Constraints on vLLM: replayed token by token, a refused token asked for again, the witness where nothing else is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from dovetail.models.random_checkpoint import MARKER_TOKENS
from dovetail.serve.api.app import create_app
from dovetail.serve.api.served import ServedModel
from dovetail.serve.constrain.base import Draft, Int32Array, Pending, Retreat
from dovetail.serve.engine.inline import InlineEngine
from dovetail.serve.types import EditSpec, SourceFile
from dovetail.serve.worker import constraint_compiler

SPEC = EditSpec(files=(SourceFile("a.py", "x\n"),))
WANTED = [5, 9, 31, 64, 12, 7, 100, 33, 8]


def held(request: Any) -> Any:
    return msgspec.structs.replace(request, constraint=SPEC)


class Among:
    """Each token is one of the set of its place; behind the last comes the end. ``coarse``: masks exclude nothing."""

    def __init__(self, sets: Sequence[frozenset[int]], at: int = 0, *, coarse: bool = False, dead_at: int = -1) -> None:
        self.sets, self.at, self.coarse, self.dead_at = sets, at, coarse, dead_at

    @property
    def _now(self) -> frozenset[int]:
        return self.sets[self.at] if self.at < len(self.sets) and self.at != self.dead_at else frozenset()

    def allows(self, token: int) -> bool:
        return token in self._now

    def mask_into(self, words: Int32Array) -> bool:
        if self.coarse and self._now:
            return False
        bits = np.zeros(32 * len(words), dtype=np.uint8)
        bits[sorted(self._now)] = 1
        words[:] = np.packbits(bits, bitorder="little").view(np.int32)
        return True

    def advance(self, token: int) -> Among:
        assert self.allows(token)
        return type(self)(self.sets, self.at + 1, coarse=self.coarse, dead_at=self.dead_at)

    def draft(self, limit: int) -> Draft:
        forced: list[int] = []
        for at, each in enumerate(self.sets[self.at :], self.at):
            if len(each) > 1 or at == self.dead_at:
                break
            forced += each
        return Draft(forced[:limit], len(forced[:limit]))

    def admits(self, tokens: Sequence[int]) -> int:
        return 0

    def may_end(self) -> bool:
        return self.at == len(self.sets)

    def retreat(self) -> Retreat | None:
        if self.dead_at < 0:
            return None
        return Retreat(2, Among([*self.sets[:2], *reversed(self.sets[2:])], 2, coarse=self.coarse))

    def settled(self) -> int | None:
        return self.at // 3 * 3


class Whole(Among):
    """Complete after any number of tokens."""

    def settled(self) -> int | None:
        return None


def exactly(tokens: Sequence[int]) -> list[frozenset[int]]:
    return [frozenset({token}) for token in tokens]


@pytest.mark.parametrize("logprobs", [None, 1])
def test_the_constraint_is_obeyed_and_ends_the_output(fake: Any, logprobs: int | None) -> None:
    core = fake.core(Among(exactly(WANTED)))
    result = fake.run(core, held(fake.request(max_tokens=50, logprobs=logprobs)))["r"]
    assert result.tokens == WANTED
    assert result.finish.reason == "stop"
    report = result.finish.constraint
    assert (report.min_z, report.sum_log_z, report.distorted) == (None, None, None)
    if logprobs is None:
        assert report.forced == len(WANTED)
        assert result.finish.usage.forward_passes <= 2, "text without an alternative is not asked for"
    else:
        assert [each.token for each in result.logprobs] == WANTED


def test_a_model_that_keeps_to_it_is_never_interrupted(fake: Any) -> None:
    sets = [frozenset({token, (token + 1) % 500}) for token in WANTED]

    def obedient(ids: Sequence[int]) -> np.ndarray[Any, Any]:
        scores = np.zeros(512)
        at = len(ids) - len(fake.request().prompt)
        scores[WANTED[at] if at < len(WANTED) else min(fake.tokenizer.eos_ids)] = 20
        return scores

    core = fake.core(Among(sets), logits=obedient)
    result = fake.run(core, held(fake.request(max_tokens=50)))["r"]
    assert result.tokens == WANTED
    assert set(result.origins) == {"sampled"}
    assert len(fake.vllm.asks) == 1


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("size", [3, 100, 300])
def test_refused_tokens_are_asked_for_again(fake: Any, size: int, coarse: bool) -> None:
    sets = [frozenset(range(at, at + size)) for at in range(12)]
    core = fake.core(Among(sets, coarse=coarse))
    result = fake.run(core, held(fake.request(max_tokens=50, temperature=1.0, seed=3)))["r"]
    assert all(token in each for token, each in zip(result.tokens, sets, strict=False))
    if not (coarse and size == 3):  # three tokens of 512 may well be none of the likeliest: then there is no way on
        assert len(result.tokens) == 12
        assert result.finish.constraint.resampled > 0
    assert fake.run(core, held(fake.request(name="again", max_tokens=50, temperature=1.0, seed=3)))["again"].tokens == (
        result.tokens
    ), "a seed is kept over all the asks of a request"


@pytest.mark.parametrize("coarse", [False, True])
def test_the_distribution_is_that_of_full_masking(fake: Any, coarse: bool) -> None:
    allowed = frozenset(range(512)) - frozenset(range(0, 512, 4)) if coarse else frozenset(range(0, 512, 4))
    scores = np.random.default_rng(1).normal(size=512)
    core = fake.core(Whole([allowed], coarse=coarse), logits=lambda ids: scores)
    draws = 1500
    tokens = [
        fake.run(core, held(fake.request(name=str(seed), max_tokens=1, temperature=1.0, seed=seed)))[str(seed)].tokens
        for seed in range(1, draws + 1)
    ]
    found = Counter(token for [token] in tokens)
    wanted = np.exp(scores[sorted(allowed)])
    wanted /= wanted.sum()
    seen = np.array([found[token] / draws for token in sorted(allowed)])
    assert sum(found.values()) == draws and set(found) <= allowed
    # As far off as as many draws from the distribution itself are; from an even one it would be more than twice as much.
    own = np.random.default_rng(2).choice(len(wanted), size=draws, p=wanted)
    sampled = np.bincount(own, minlength=len(wanted)) / draws
    assert np.abs(seen - wanted).sum() < 1.2 * np.abs(sampled - wanted).sum()


@pytest.mark.parametrize("dead_at", [2, 4, 8])
def test_a_dead_end_goes_back_to_the_witness(fake: Any, dead_at: int) -> None:
    core = fake.core(Among(exactly(WANTED), dead_at=dead_at))
    result = fake.run(core, held(fake.request(max_tokens=50)))["r"]
    assert result.tokens == [*WANTED[:2], *reversed(WANTED[2:])]
    assert result.finish.constraint.rollbacks == 1
    assert result.text == fake.tokenizer.decode(result.tokens)
    assert core.stats().rollbacks == 1


@pytest.mark.parametrize("budget", range(1, len(WANTED) + 1))
def test_a_budget_that_runs_out_leaves_what_is_settled(fake: Any, budget: int) -> None:
    core = fake.core(Among(exactly(WANTED)))
    result = fake.run(core, held(fake.request(max_tokens=budget)))["r"]
    assert result.tokens == WANTED[: budget // 3 * 3]
    assert result.finish.reason == "length"
    assert result.finish.constraint.truncated == (budget % 3 != 0)


def test_penalties_count_the_whole_output(fake: Any) -> None:
    scores = np.zeros(512)
    scores[[3, 4]] = 2.0, 1.5
    core = fake.core(Whole([frozenset(range(400))] * 4), logits=lambda ids: scores)
    asked = fake.request(max_tokens=4, frequency_penalty=1.0)
    assert fake.run(core, held(asked))["r"].tokens == [3, 4, 3, 4]


class Broken(Among):
    method = "advance"

    def __getattribute__(self, name: str) -> Any:
        if name == type(self).method and object.__getattribute__(self, "at") >= 3:
            raise RuntimeError(f"{name} is broken")
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", ["allows", "mask_into", "advance", "draft", "may_end"])
def test_a_broken_constraint_ends_only_its_own_request(fake: Any, method: str) -> None:
    made = type("BrokenOne", (Broken,), {"method": method})
    core = fake.core(made([frozenset({token, 1}) for token in WANTED]))
    results = fake.run(core, held(fake.request(max_tokens=50)), fake.request(name="other", ignore_eos=True))
    assert results["r"].finish is None
    assert (results["r"].error.status, results["r"].error.code) == (500, "constraint_failed")
    assert len(results["other"].tokens) == 20


class Answer:
    """Is there when it has been looked at three times."""

    def __init__(self) -> None:
        self.looks = 0

    @property
    def ready(self) -> bool:
        self.looks += 1
        return self.looks > 3

    def wait(self, seconds: float) -> bool:
        return self.ready


class Late(Among):
    def allows(self, token: int) -> bool:
        answer = self.__dict__.setdefault("answer", Answer())
        if answer.looks <= 3:
            raise Pending(answer)
        return super().allows(token)


def test_an_answer_that_takes_a_while_is_waited_for(fake: Any) -> None:
    core = fake.core(Late([frozenset({token, 1}) for token in WANTED[:3]]))
    result = fake.run(core, held(fake.request(max_tokens=50)))["r"]
    assert len(result.tokens) == 3 and result.finish.reason == "stop"


def test_a_constraint_that_is_compiled_elsewhere_is_waited_for_and_dropped_with_its_request(fake: Any) -> None:
    future: Future[Any] = Future()
    core = fake.core(compile_constraint=lambda spec: future)
    core.add(held(fake.request()))
    assert [core.step() for _ in range(5)] == [[]] * 5
    future.set_result(Among(exactly(WANTED)))
    said: list[Any] = []
    while core.busy:
        said += core.step()
    assert said[-1].reason == "stop" and said[-1].usage.completion_tokens == len(WANTED)
    never: Future[Any] = Future()
    core = fake.core(compile_constraint=lambda spec: never)
    core.add(held(fake.request()))
    core.step()
    core.cancel("r")
    for _ in range(200):
        if never.cancelled():
            break
        core.step()
    assert never.cancelled()


FILES = [
    {"path": "calc.py", "content": "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"},
    {"path": "app.json", "content": '{\r\n  "name": "app",\r\n  "tags": ["a", "b"]\r\n}'},
]


@pytest.mark.parametrize("format", ["blocks", "whole_file"])
async def test_babble_makes_edits_that_fit(fake: Any, format: str) -> None:
    tokenizer = fake.tokenizer
    compile_constraint = constraint_compiler(tokenizer, min(512, tokenizer.size))
    likely = sorted({token for text in (*MARKER_TOKENS, "\n", '"}') for token in tokenizer.encode(text)})

    def babble(ids: Sequence[int]) -> np.ndarray[Any, Any]:
        scores = np.random.default_rng([5, *ids[-3:]]).normal(size=512)
        scores[likely] += 3
        return scores

    core = fake.core(compile_constraint=compile_constraint, logits=babble, window=4096)
    engine = InlineEngine(core)

    def prompt(*_: Any) -> list[int]:
        return tokenizer.encode("change something")

    app = create_app(
        engine,
        ServedModel(name="m", created=0, max_model_len=4096, codec=tokenizer, render_edit=prompt, render_chat=prompt),
    )
    transport = httpx.ASGITransport(app=app)
    made = 0
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
        for seed in range(4):
            body = {"instruction": "x", "files": FILES, "format": format, "seed": seed, "temperature": 1.0}
            answer = await client.post("/v1/edits", json={**body, "max_tokens": 120})
            assert answer.status_code == 200, answer.text
            told = answer.json()
            made += len(told["edits"])
            assert told["constraint"]["min_z"] is None
            assert told["finish_reason"] in ("stop", "length")
            for edit in told["edits"]:
                source = next(file["content"] for file in FILES if file["path"] == edit["path"])
                assert source.count(edit["search"]) == 1 or not source.strip() or format == "whole_file", edit
            again = await client.post("/v1/edits/apply", json={"text": told["text"], "files": FILES, "format": format})
            assert again.status_code == 200, again.text
            assert again.json()["files"] == told["files"]
    assert made > 0, "nothing was edited: the test shows nothing"
    await engine.close()
