"""The whole engine while gates answer late, wrongly or never: every request ends, once, with edits that fit."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from formats import NAMES, PIECES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policies import NO_CALLS
from torch import Tensor

from dovetail.models.loader import LoadedModel, load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.edits.report import land
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate, Verdict
from dovetail.serve.constrain.syntax.gate_process import GateProcess
from dovetail.serve.constrain.syntax.gates import Answer, Gate, Gates
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.gate_worker import edit_gates
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.edit.view import as_read
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.engine.native.sampler import Rows
from dovetail.serve.errors import UserError
from dovetail.serve.types import (
    ConstraintSpec,
    EditFormat,
    EditSpec,
    FinishEvent,
    Request,
    RollbackEvent,
    SamplingParams,
    SourceFile,
    SyntaxGating,
    TokensEvent,
)

FILES = (
    SourceFile("app.yaml", "name: app\r\nports:\r\n  - 80\r\n  - 443\r\ntags: [a, b]\r\n"),
    SourceFile("a.py", "x = 1\n\n\ndef f(a):\n    return a\n"),
    SourceFile("a.json", '{\n  "a": 1,\n  "b": [2]\n}'),
)
POLICY = Policy([parse_policy({**NO_CALLS, "limits": {"changed_lines": 6}})]).texts
Looks = Sequence[int]
"""How often each question in turn is looked at before its answer is there; below zero: then it is no, whatever is right."""


class Late(Answer):
    """Given at the last of so many looks."""

    def __init__(self, verdict: Verdict, expected: bool | None, looks: int) -> None:
        super().__init__(expected)
        self._verdict = verdict if looks >= 0 else Verdict(holds=False)
        self._looks = abs(looks)

    @property
    def ready(self) -> bool:
        if not self._looks:
            self.give(self._verdict)
        self._looks -= 1
        return super().ready

    def wait(self, seconds: float) -> bool:
        return self.ready


class LateGate:
    unreadable: str | None = None

    def __init__(self, path: str, original: bytes, looks: Iterator[int]) -> None:
        self.gate = SyntaxGate(path, original)
        self.language, self.faulty = self.gate.language, self.gate.faulty
        self._read = Late(Verdict(holds=True), None, abs(next(looks)))
        self._looks = looks

    @property
    def ready(self) -> bool:
        return self._read.ready

    def wait(self, seconds: float) -> bool:
        return self._read.ready

    def ask(self, changes: Sequence[Change], expected: bool | None = None) -> Answer:
        return Late(self.gate.judge(changes, expected), expected, next(self._looks))

    def prepare(self, then: Callable[[], None]) -> None:
        then()


class LateGates:
    blocking = False

    def __init__(self, looks: Looks) -> None:
        self._looks = itertools.cycle(looks)

    def open(self, path: str, original: bytes) -> Gate:
        return LateGate(path, original, self._looks)

    def review(self, path: str, subject: bytes, reviewer: Callable[[bytes], bytes]) -> Answer:
        found = reviewer(subject)
        return Late(Verdict(not found, found=found), True, next(self._looks))


class Babble:
    """A model that writes anything allowed, with a liking for what ends things: sees logits only."""

    def __init__(self, tokenizer: Tokenizer, name: EditFormat, seed: int) -> None:
        self._liked = sorted({token for piece in (*PIECES[name], " ", "1") for token in tokenizer.encode(piece)})
        self._ends = tokenizer.eos_ids
        self._chance = random.Random(seed)

    def __call__(self, logits: Tensor, rows: Rows) -> list[int]:
        tokens = []
        for row in logits:
            allowed = torch.isfinite(row).nonzero().flatten().tolist()
            if self._chance.random() < 0.95:
                allowed = [token for token in allowed if token not in self._ends] or allowed
            liked = [token for token in self._liked if token in allowed]
            tokens.append(self._chance.choice(liked if liked and self._chance.random() < 0.5 else allowed or [0]))
        return tokens


class Workshop:
    """A tiny model, its tokenizer and its vocabulary."""

    def __init__(self, model: LoadedModel, tokenizer: Tokenizer) -> None:
        self._model = model
        self.tokenizer = tokenizer
        size = min(tokenizer.size, model.config.vocab_size)
        self.spellings = [tokenizer.token_bytes(token) for token in range(size)]

    def engine(self, gates: Gates, babble: Babble) -> NativeEngine:
        vocabulary = Vocabulary(self.spellings, self.tokenizer.encode)
        sizes = NativeSettings(max_model_len=512, kv_blocks=400, block_size=4, max_draft=8)

        def compiled(spec: ConstraintSpec) -> Constraint:
            assert isinstance(spec, EditSpec)
            return compile_edit(spec, vocabulary, gates)

        return NativeEngine(self._model, self.tokenizer, sizes, compiled, sample=babble)

    def request(
        self, name: EditFormat, number: int, budget: int, syntax: SyntaxGating, policy: tuple[str, ...] = ()
    ) -> Request:
        files = FILES[number % 3 :][:2]
        spec = EditSpec(
            files=files,
            markers=choose_markers(as_read(files)),
            format=name,
            line_ends="own",
            syntax=syntax,
            policy=policy,
        )
        prompt = tuple(self.tokenizer.encode("edit\n"))
        sampling = SamplingParams(max_tokens=budget, temperature=1.0, seed=number)
        return Request(request_id=str(number), prompt=prompt, sampling=sampling, constraint=spec)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    torch.set_num_threads(1)
    directory = write_random_checkpoint(tmp_path_factory.mktemp("tiny") / "model")
    return Workshop(load_model(directory), Tokenizer.load(directory))


def edited(
    engine: NativeEngine, requests: Sequence[Request], between_steps: Callable[[int], None] = lambda step: None
) -> None:
    """Run the requests to their ends, and land what they wrote."""
    texts: dict[str, str] = {}
    ends: dict[str, dict[str, str]] = {}
    for request in requests:
        assert not engine.add(request)
        texts[request.request_id] = ""
    for step in range(20_000):
        if not engine.busy:
            break
        between_steps(step)
        for event in engine.step():
            assert event.request_id not in ends
            if isinstance(event, TokensEvent):
                texts[event.request_id] += event.text
            elif isinstance(event, RollbackEvent):
                texts[event.request_id] = texts[event.request_id][: event.keep_chars]
            else:
                assert isinstance(event, FinishEvent), event
                ends[event.request_id] = event.constraint.unchecked if event.constraint is not None else {}
        engine.check()
    assert len(ends) == len(requests)
    for request in requests:
        assert isinstance(request.constraint, EditSpec)
        unchecked = ends[request.request_id]
        try:
            land(texts[request.request_id], request.constraint, unchecked=unchecked)
        except UserError as error:  # a policy that has to read a file whose parser was killed with each question
            if not (request.constraint.policy and unchecked and error.code == "unreadable_file"):
                raise


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(st.integers(-3, 9), min_size=1, max_size=12),
    st.sampled_from(NAMES),
    st.sampled_from(["each", "each", "final"]),
    st.integers(0, 10_000),
    st.integers(1, 120),
    st.sampled_from([(), POLICY]),
)
def test_answers_come_late_or_are_no(
    workshop: Workshop,
    looks: Looks,
    name: EditFormat,
    syntax: SyntaxGating,
    seed: int,
    budget: int,
    policy: tuple[str, ...],
) -> None:
    engine = workshop.engine(LateGates(looks), Babble(workshop.tokenizer, name, seed))
    edited(engine, [workshop.request(name, seed + number, budget, syntax, policy) for number in range(3)])


@pytest.mark.parametrize("policy", [(), POLICY], ids=["syntax", "policy"])
@pytest.mark.parametrize("name", NAMES)
def test_the_gate_process_is_killed_again_and_again(
    workshop: Workshop, name: EditFormat, policy: tuple[str, ...]
) -> None:
    gates = edit_gates()

    def kill(step: int) -> None:
        for child in list(gates._children) if step % 7 == 3 else ():
            if child.process.poll() is None:
                child.process.kill()

    try:
        engine = workshop.engine(gates, Babble(workshop.tokenizer, name, 3))
        edited(engine, [workshop.request(name, number, 60, "each", policy) for number in range(3)], kill)
    finally:
        gates.close()


def test_the_gate_process_is_silent(workshop: Workshop, tmp_path: Path) -> None:
    """It reads what it is asked, and answers nothing."""
    silent = tmp_path / "silent.py"
    silent.write_text("import sys\nwhile sys.stdin.buffer.read(1):\n    pass\n")
    gates = GateProcess(patience_s=0.2, command=[sys.executable, str(silent)])
    try:
        engine = workshop.engine(gates, Babble(workshop.tokenizer, "blocks", 5))
        edited(engine, [workshop.request("blocks", number, 40, "each") for number in range(2)])
    finally:
        gates.close()
