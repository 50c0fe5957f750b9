"""Grammars in the step loop: finished outputs keep to them, waiting for one holds up nobody, broken ones end alone."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest
from jsonschema import validate

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.grammar.compile import compile_grammar
from dovetail.serve.constrain.grammar.threads import GrammarThreads
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.engine.request.compiling import Compiling
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec, Request

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["cat", "dog", "größe"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 30},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 3},
        "more": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
    },
    "required": ["kind", "age", "tags", "more"],
    "additionalProperties": False,
}
JSON = GrammarSpec(kind="json_schema", source=json.dumps(SCHEMA), whitespace="compact")
REGEX = GrammarSpec(kind="regex", source=r"[a-c]{3,9}-\d{2}")
CHOICE = GrammarSpec(kind="choice", source=json.dumps(["yes", "no", "maybe so"]))


@pytest.fixture(scope="module")
def vocabulary(tiny: Any) -> Vocabulary:
    size = min(tiny.tokenizer.size, tiny.model.config.vocab_size)
    return Vocabulary([tiny.tokenizer.token_bytes(token) for token in range(size)], tiny.tokenizer.encode)


@pytest.fixture
def engine(tiny: Any, vocabulary: Vocabulary) -> Any:
    made = tiny.engine()
    threads = GrammarThreads()
    made._compiling = Compiling(lambda spec: threads.submit(lambda: compile_grammar(spec, vocabulary)))
    return made


def held(request: Request, spec: GrammarSpec) -> Request:
    return msgspec.structs.replace(request, constraint=spec)


def test_finished_outputs_keep_to_their_grammars(tiny: Any, run: Any, engine: Any) -> None:
    requests = []
    for seed in range(12):
        for name, spec in (("json", JSON), ("regex", REGEX), ("choice", CHOICE)):
            options = {"max_tokens": 250, "temperature": 1.0, "seed": seed, "logprobs": 2 if seed % 2 else None}
            requests.append(held(tiny.request(name=f"{name}{seed}", **options), spec))
    results = run(engine, requests)
    finished = {name: result for name, result in results.items() if result.finish.reason == "stop"}
    assert sum(name.startswith("json") for name in finished) > 6
    for name, result in finished.items():
        if name.startswith("json"):
            validate(json.loads(result.text), SCHEMA)
        elif name.startswith("regex"):
            assert re.fullmatch(REGEX.source, result.text)
        else:
            assert result.text in json.loads(CHOICE.source)
        assert result.finish.constraint.rollbacks == 0
        if result.logprobs:
            assert len(result.logprobs) == len(result.tokens)
    assert any(result.finish.usage.accepted for result in finished.values())


def test_the_same_seed_gives_the_same_output_whoever_else_runs(tiny: Any, run: Any, engine: Any) -> None:
    request = held(tiny.request(max_tokens=60, temperature=1.0, seed=5), JSON)
    alone = run(engine, [request])["r"]
    others = [held(tiny.request(name=f"o{n}", max_tokens=40, temperature=1.0, seed=n), JSON) for n in range(5)]
    assert run(engine, [*others, request])["r"].text == alone.text


def test_a_budget_that_runs_out_says_length_and_keeps_what_there_is(tiny: Any, run: Any, engine: Any) -> None:
    result = run(engine, [held(tiny.request(max_tokens=3, temperature=1.0, seed=1), JSON)])["r"]
    assert result.finish.reason == "length"
    assert result.text.startswith("{")
    assert len(result.tokens) == 3


def test_a_stop_string_ends_a_structured_output(tiny: Any, run: Any, engine: Any) -> None:
    result = run(engine, [held(tiny.request(max_tokens=50, stop=("-",)), REGEX)])["r"]
    assert (result.finish.reason, result.finish.stop) == ("stop", "-")
    assert re.fullmatch("[a-c]{3,9}", result.text)


def test_a_grammar_that_is_refused_ends_only_its_own_request(tiny: Any, run: Any, engine: Any) -> None:
    bad = GrammarSpec(kind="regex", source="(", param="regex")
    results = run(engine, [held(tiny.request(), bad), tiny.request(name="other", max_tokens=5)])
    assert (results["r"].error.status, results["r"].error.param) == (400, "regex")
    assert results["other"].finish is not None


def test_a_grammar_that_becomes_too_complex_ends_only_its_own_request(tiny: Any, run: Any, engine: Any) -> None:
    source = 'start: e{1,1000}\ne: f{1,1000}\nf: g{1,1000}\ng: "a"'
    spec = GrammarSpec(kind="lark", source=source, param="grammar")
    request = held(tiny.request(max_tokens=400, logit_bias=dict.fromkeys(tiny.tokenizer.eos_ids, -100.0)), spec)
    results = run(engine, [request, tiny.request(name="other", max_tokens=20, ignore_eos=True)])
    assert (results["r"].error.status, results["r"].error.code) == (400, "grammar_too_complex")
    assert len(results["other"].tokens) == 20


class Slow:
    """A compiler that is told when to be done."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.future: Future[Constraint] = Future()
        self.vocabulary = vocabulary

    def __call__(self, spec: Any) -> Future[Constraint]:
        return self.future

    def finish(self) -> None:
        self.future.set_result(compile_grammar(CHOICE, self.vocabulary))


def test_others_go_on_while_a_grammar_compiles(tiny: Any, vocabulary: Vocabulary) -> None:
    slow = Slow(vocabulary)
    engine = tiny.engine()
    engine._compiling = Compiling(slow)
    assert engine.add(held(tiny.request(name="slow"), CHOICE)) == []
    assert engine.add(tiny.request(name="other", max_tokens=5, ignore_eos=True)) == []
    said = [event for _ in range(10) for event in engine.step()]
    assert {event.request_id for event in said} == {"other"}
    assert engine.busy and engine.stats().waiting == 1
    assert engine.add(held(tiny.request(name="slow"), CHOICE))[0].code == "duplicate_request"
    slow.finish()
    said = [event for _ in range(30) for event in engine.step()]
    text = "".join(event.text for event in said if hasattr(event, "text"))
    assert text in json.loads(CHOICE.source)
    assert not engine.busy


def test_a_grammar_that_never_compiles_ends_its_request(tiny: Any, vocabulary: Vocabulary) -> None:
    slow = Slow(vocabulary)
    engine = tiny.engine()
    engine._compiling = Compiling(slow, seconds=0.02)
    engine.add(held(tiny.request(), msgspec.structs.replace(CHOICE, param="choice")))
    said = [event for _ in range(20) for event in engine.step()]
    assert [(event.status, event.param) for event in said] == [(400, "choice")]
    assert not engine.busy and slow.future.cancelled()


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_request_can_end_while_its_grammar_compiles(tiny: Any, vocabulary: Vocabulary, how: str) -> None:
    slow = Slow(vocabulary)
    engine = tiny.engine()
    engine._compiling = Compiling(slow)
    request = held(tiny.request(), CHOICE)
    engine.add(msgspec.structs.replace(request, timeout_s=0.01 if how == "timeout" else None))
    if how == "cancel":
        engine.cancel("r")
        said = engine.step()
    else:
        said = [event for _ in range(10) for event in engine.step()]
    assert [event.code for event in said] == (["deadline_exceeded"] if how == "timeout" else [])
    assert not engine.busy and engine.stats().finished["cancelled"] == 1


def test_threads_run_calls_and_carry_errors() -> None:
    threads = GrammarThreads(1)
    assert threads.submit(lambda: threading.current_thread().name).result(5).startswith("grammar")

    def fails() -> None:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        threads.submit(fails).result(5)
    held_up, go_on = threads.submit(lambda: go_on.wait(5)), threading.Event()
    never = threads.submit(lambda: 3)
    assert never.cancel()
    go_on.set()
    assert held_up.result(5)
    assert threads.submit(lambda: 4).result(5) == 4
