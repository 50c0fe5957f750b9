"""The step loop under constraints: a scripted one shows the protocol, a broken one shows that only its request ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from dovetail.serve.constrain.base import Draft, Int32Array, Pending, Retreat
from dovetail.serve.errors import UserError
from dovetail.serve.types import (
    CarrierSpec,
    CarrierTool,
    ConstraintSpec,
    EditSpec,
    GrammarSpec,
    KnownFile,
    Request,
    SourceFile,
)

Run = Callable[..., dict[str, Any]]
SPEC = EditSpec(files=(SourceFile("a.py", "x\n"),))


class Spelling:
    """Allows exactly one token sequence, then the end; hints at it in drafts if told to. Dead ends go back to ``home``."""

    def __init__(self, tokens: Sequence[int], at: int = 0, *, hint: int = 0, dead_at: int | None = None) -> None:
        self.tokens, self.at, self.hint, self.dead_at = tokens, at, hint, dead_at

    def _moved(self, at: int) -> Spelling:
        return Spelling(self.tokens, at, hint=self.hint, dead_at=self.dead_at)

    def allows(self, token: int) -> bool:
        return self.at != self.dead_at and self.at < len(self.tokens) and token == self.tokens[self.at]

    def mask_into(self, words: Int32Array) -> bool:
        words.fill(0)
        if self.at != self.dead_at and self.at < len(self.tokens):
            token = self.tokens[self.at]
            words[token // 32] = -(2**31) if token % 32 == 31 else 1 << (token % 32)
        return True

    def advance(self, token: int) -> Spelling:
        assert self.allows(token)
        return self._moved(self.at + 1)

    def draft(self, limit: int) -> Draft:
        end = min(len(self.tokens), self.at + min(limit, self.hint))
        if self.dead_at is not None and self.at <= self.dead_at:
            end = min(end, self.dead_at)
        return Draft(self.tokens[self.at : end], max(0, end - self.at))

    def admits(self, tokens: Sequence[int]) -> int:
        ahead = [*self.tokens[self.at :], None]
        return next((index for index, token in enumerate(tokens) if token != ahead[index]), len(tokens))

    def may_end(self) -> bool:
        return self.at == len(self.tokens)

    def retreat(self) -> Retreat | None:
        return Retreat(2, Spelling([*self.tokens[:2], *reversed(self.tokens[2:])], 2, hint=self.hint))

    def settled(self) -> int | None:
        return self.at // 3 * 3


class Broken(Spelling):
    """Fails in one method from the third token on."""

    def __init__(self, method: str, tokens: Sequence[int], at: int = 0) -> None:
        super().__init__(tokens, at, hint=2)
        self.method = method

    def __getattribute__(self, name: str) -> Any:
        if name != "method" and name == self.method and self.at >= 3:
            raise RuntimeError(f"{name} is broken")
        return super().__getattribute__(name)

    def _moved(self, at: int) -> Spelling:
        return Broken(self.method, self.tokens, at)


def constrained(request: Request) -> Request:
    return msgspec.structs.replace(request, constraint=SPEC)


WANTED = [5, 9, 31, 64, 12, 7, 100, 33, 8]


@pytest.mark.parametrize("hint", [0, 4])
def test_the_constraint_is_obeyed_and_ends_the_output(tiny: Any, run: Run, hint: int) -> None:
    request = constrained(tiny.request(max_tokens=50))
    result = run(tiny.engine(Spelling(WANTED, hint=hint)), [request])["r"]
    assert result.tokens == WANTED
    assert result.finish.reason == "stop"
    report = result.finish.constraint
    assert report.rollbacks == 0
    assert 0 < report.min_z < 1
    assert report.forced == len(WANTED)
    if hint:
        assert result.finish.usage.accepted > 0
        assert result.finish.usage.forward_passes < len(WANTED)


@pytest.mark.parametrize("hint", [0, 3])
@pytest.mark.parametrize("dead_at", [2, 4, 8])
def test_a_dead_end_goes_back_to_the_witness(tiny: Any, run: Run, dead_at: int, hint: int) -> None:
    request = constrained(tiny.request(max_tokens=50))
    engine = tiny.engine(Spelling(WANTED, hint=hint, dead_at=dead_at))
    result = run(engine, [request])["r"]
    assert result.tokens == [*WANTED[:2], *reversed(WANTED[2:])]
    assert result.finish.constraint.rollbacks == 1
    assert result.rollbacks == (dead_at > 2)  # where nothing is taken back, nothing is said
    assert result.text == tiny.tokenizer.decode(result.tokens)


@pytest.mark.parametrize("budget", range(1, len(WANTED) + 1))
def test_a_budget_that_runs_out_leaves_what_is_settled(tiny: Any, run: Run, budget: int) -> None:
    request = constrained(tiny.request(max_tokens=budget))
    result = run(tiny.engine(Spelling(WANTED, hint=2)), [request])["r"]
    assert result.tokens == WANTED[: budget // 3 * 3]
    assert result.finish.reason == "length"
    assert result.finish.constraint.truncated == (budget % 3 != 0)


@pytest.mark.parametrize("method", ["allows", "mask_into", "advance", "draft", "may_end"])
def test_a_broken_constraint_ends_only_its_own_request(tiny: Any, run: Run, method: str) -> None:
    other = tiny.request(name="other", max_tokens=25, ignore_eos=True)
    results = run(tiny.engine(Broken(method, WANTED)), [constrained(tiny.request(max_tokens=50)), other])
    assert results["r"].finish is None
    assert (results["r"].error.status, results["r"].error.code) == (500, "constraint_failed")
    assert results["other"].tokens == run(tiny.engine(), [other])["other"].tokens


@pytest.mark.parametrize(("error", "status"), [(UserError("bad", param="files"), 400), (RuntimeError("bug"), 500)])
def test_a_constraint_that_does_not_compile_ends_only_its_own_request(
    tiny: Any, run: Run, error: Exception, status: int
) -> None:
    def fails(spec: object) -> Any:
        raise error

    engine = tiny.engine()
    engine._compiling.compile = fails
    results = run(engine, [constrained(tiny.request()), tiny.request(name="other", max_tokens=5)])
    assert results["r"].error.status == status
    assert results["other"].finish is not None


class Weary(Spelling):
    """Its mask says nothing, and a token refused behind one allowed is one too many in its third place: it allows none then."""

    def __init__(self, tokens: Sequence[int], at: int = 0, *, patient: bool = False) -> None:
        super().__init__(tokens, at)
        self.patient = patient
        self.asked = self.spent = False

    def _moved(self, at: int) -> Weary:
        return Weary(self.tokens, at, patient=self.patient)

    def mask_into(self, words: Int32Array) -> bool:
        return self.patient and super().mask_into(words)

    def allows(self, token: int) -> bool:
        allowed = not self.spent and super().allows(token)
        if self.at == 2 and not self.patient:
            self.spent |= self.asked and not allowed
            self.asked |= allowed
        return allowed

    def retreat(self) -> Retreat | None:
        return Retreat(1, Weary(self.tokens, 1, patient=True))


def test_a_constraint_that_loses_patience_while_the_likeliest_tokens_are_checked_goes_back(tiny: Any, run: Run) -> None:
    result = run(tiny.engine(Weary(WANTED)), [constrained(tiny.request())])["r"]
    assert result.error is None
    assert result.rollbacks == 1
    assert result.tokens == WANTED


def test_a_constraint_that_only_changes_its_mind_takes_nothing_back(tiny: Any, run: Run) -> None:
    class Relenting(Spelling):
        def _moved(self, at: int) -> Relenting:
            return Relenting(self.tokens, at, hint=self.hint, dead_at=self.dead_at)

        def retreat(self) -> Retreat | None:
            return Retreat(self.at, Spelling(self.tokens, self.at, hint=self.hint))

    result = run(tiny.engine(Relenting(WANTED, hint=2, dead_at=4)), [constrained(tiny.request())])["r"]
    assert result.rollbacks == 0
    assert result.tokens == WANTED
    assert result.text == tiny.tokenizer.decode(result.tokens)


@pytest.mark.parametrize("method", ["mask_into", "advance", "draft", "may_end", "settled", "chosen"])
def test_an_answer_that_may_not_be_late_is_waited_for(tiny: Any, run: Run, method: str) -> None:
    class Untimely(Reluctant):
        answer = Slow(4)

        def __getattribute__(self, name: str) -> Any:
            if name == method and not Untimely.answer.ready:
                raise Pending(Untimely.answer)
            return super().__getattribute__(name)

        def _moved(self, at: int) -> Untimely:
            return Untimely(self.tokens, at, hint=self.hint)

    Reluctant.times = 0
    result = run(tiny.engine(Untimely(WANTED, hint=2)), [constrained(tiny.request(max_tokens=8))])["r"]
    assert result.error is None
    assert result.tokens == WANTED[:6]
    assert Untimely.answer.ready


def test_a_constraint_that_breaks_at_the_very_end_fails_its_request(tiny: Any, run: Run) -> None:
    result = run(tiny.engine(Broken("settled", WANTED)), [constrained(tiny.request(max_tokens=5))])["r"]
    assert result.finish is None
    assert result.error.code == "constraint_failed"


class Slow:
    """An answer that is there after a few questions whether it is."""

    def __init__(self, after: int) -> None:
        self.after = after

    @property
    def ready(self) -> bool:
        self.after -= 1
        return self.after <= 0

    def wait(self, seconds: float) -> bool:
        return False


class Waiting(Spelling):
    """Cannot say at first whether its third token may come, nor where to go back to."""

    answer = Slow(4)

    def _moved(self, at: int) -> Waiting:
        return Waiting(self.tokens, at, hint=self.hint, dead_at=self.dead_at)

    def allows(self, token: int) -> bool:
        if self.at == 2 and Waiting.answer.after > 0:
            raise Pending(Waiting.answer)
        return super().allows(token)

    def advance(self, token: int) -> Waiting:
        assert token == self.tokens[self.at]
        return self._moved(self.at + 1)

    def retreat(self) -> Retreat | None:
        if Waiting.answer.after > 0:
            raise Pending(Waiting.answer)
        return super().retreat()


@pytest.mark.parametrize("hint", [0, 4])
def test_a_sequence_sits_out_steps_until_its_constraint_can_say(tiny: Any, run: Run, hint: int) -> None:
    Waiting.answer = Slow(6)
    engine = tiny.engine(Waiting(WANTED, hint=hint))
    results = run(engine, [constrained(tiny.request(name="slow")), tiny.request(name="other")])
    assert results["slow"].tokens == WANTED
    assert results["slow"].finish.reason == "stop"
    assert results["other"].finish.reason == "length"
    assert engine.stats().sat_out >= 1
    assert engine.stats().constraint_s > 0


def test_going_back_waits_until_the_constraint_can_say_where_to(tiny: Any, run: Run) -> None:
    Waiting.answer = Slow(5)
    engine = tiny.engine(Waiting(WANTED, 0, dead_at=2))
    results = run(engine, [constrained(tiny.request(name="slow"))])
    assert results["slow"].finish.constraint.rollbacks == 1
    assert results["slow"].finish is not None


class Reluctant(Spelling):
    """Its first three tokens choose a place; asked to, it goes back to the beginning so many times."""

    times = 1

    def _moved(self, at: int) -> Reluctant:
        return Reluctant(self.tokens, at, hint=self.hint)

    def chosen(self) -> tuple[int, int] | None:
        return (0, 3) if self.at >= 3 else None

    def reconsider(self) -> Retreat | None:
        Reluctant.times -= 1
        return Retreat(0, Reluctant([*reversed(self.tokens[:3]), *self.tokens[3:]])) if Reluctant.times >= 0 else None


@pytest.mark.parametrize("times", [0, 1])
def test_a_place_that_the_model_hardly_wants_is_reconsidered_then_flagged(tiny: Any, run: Run, times: int) -> None:
    Reluctant.times = times
    engine = tiny.engine(Reluctant(WANTED, hint=2))
    result = run(engine, [constrained(tiny.request(name="r"))])["r"]
    assert result.rollbacks == times
    assert result.finish.constraint.distorted
    assert result.finish.constraint.rollbacks == times
    assert result.tokens == (WANTED if not times else [*reversed(WANTED[:3]), *WANTED[3:]])


@pytest.mark.parametrize(
    ("spec", "about"),
    [
        (EditSpec(files=(SourceFile("a.py", ""), SourceFile("b.py", ""))), "blocks of a.py, b.py"),
        (
            CarrierSpec(files=(KnownFile("a.py", ("x",)),), tools=(CarrierTool(name="Edit", head=""),)),
            "calls of Edit on a.py",
        ),
        (GrammarSpec(kind="json_object"), "grammar"),
    ],
)
def test_the_crash_log_is_told_whose_constraint_is_at_work(tiny: Any, spec: ConstraintSpec, about: str) -> None:
    notes: list[str] = []
    engine = tiny.engine(Spelling(WANTED), note=notes.append)
    engine.add(msgspec.structs.replace(tiny.request(name="mine"), constraint=spec, http_request="r-1"))
    engine.step()
    assert notes[0] == f"mine of r-1: {about}"
    assert "" in notes
