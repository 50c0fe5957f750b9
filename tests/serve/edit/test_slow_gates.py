"""Gates that take their time: what a draft hopes for, what waits, and what comes of a no."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from byte_pairs import vocabulary
from policies import NO_CALLS
from test_true_edits import _passed

from dovetail.serve.constrain.base import Constraint, Pending
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate, Verdict
from dovetail.serve.constrain.syntax.gates import Answer, Gate
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.constraint import EditConstraint
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.types import EditFormat, EditSpec, SourceFile

FILE = SourceFile("a.py", "x = 1\ny = 2\n")
BLOCK = "a.py\n<<<<<<< SEARCH\ny = 2\n=======\ny = 2\nz = 3\n"


class SlowGate:
    """Answers when it is told to."""

    unreadable: str | None = None

    def __init__(self, path: str, original: bytes) -> None:
        self.gate = SyntaxGate(path, original)
        self.language, self.faulty = self.gate.language, self.gate.faulty
        self.ready = True
        self.asked: list[tuple[Sequence[Change], Answer]] = []

    def wait(self, seconds: float) -> bool:
        return self.ready

    def ask(self, changes: Sequence[Change], expected: bool | None = None) -> Answer:
        answer = Answer(expected)
        self.asked.append((changes, answer))
        return answer

    def answer(self, verdict: Verdict | None = None) -> None:
        for changes, answer in self.asked:
            answer.give(verdict or self.gate.judge(changes, answer.expected))

    def prepare(self, then: Callable[[], None]) -> None:
        then()


class SlowGates:
    blocking = False

    def __init__(self) -> None:
        self.made: list[SlowGate] = []
        self.reviews: list[tuple[bytes, Answer]] = []

    def open(self, path: str, original: bytes) -> Gate:
        self.made.append(SlowGate(path, original))
        return self.made[-1]

    def review(self, path: str, subject: bytes, reviewer: Callable[[bytes], bytes]) -> Answer:
        self.reviews.append((reviewer(subject), Answer(expected=True)))
        return self.reviews[-1][1]


def started(
    name: EditFormat = "blocks", file: SourceFile = FILE, policy: tuple[str, ...] = ()
) -> tuple[Constraint, SlowGates]:
    gates = SlowGates()
    return compile_edit(EditSpec(files=(file,), format=name, policy=policy), vocabulary(), gates), gates


@pytest.mark.parametrize(("line", "allowed"), [("z = 3", True), ("z = f(3)", False)])
def test_a_line_is_reviewed_beside_the_steps(line: str, allowed: bool) -> None:
    """A draft goes on over a line's end, a sampled one waits."""
    state, gates = started(policy=Policy([parse_policy(NO_CALLS)]).texts)
    tokens = vocabulary().encode(BLOCK[: BLOCK.index("=======\n") + 8] + line)
    for token in tokens:
        state = state.advance(token)
    end = vocabulary().encode("\n")[0]
    assert isinstance(state, EditConstraint)
    assert state._after(end, sampled=False) is not None
    with pytest.raises(Pending) as caught:
        state.allows(end)
    for found, answer in gates.reviews:
        assert not answer.ready
        answer.give(Verdict(not found, found=found))
    assert caught.value.answer.ready
    assert state.allows(end) is allowed
    assert [(each.id, each.decided) for each in state.vetoes()] == ([] if allowed else [("no-calls", "decoding")])
    assert len(gates.reviews) == 1


def test_a_draft_runs_on_as_the_recogniser_expects_and_the_check_waits() -> None:
    state, gates = started()
    _, at = _passed(state, vocabulary().encode(BLOCK))
    ending = vocabulary().encode(">>>>>>> REPLACE\n")[0]
    assert isinstance(at, EditConstraint)
    ahead = at._after(ending, sampled=False)  # as a draft does
    assert ahead is not None
    with pytest.raises(Pending) as caught:
        at.allows(ending)
    assert not caught.value.answer.ready
    assert len(gates.made[0].asked) == 1
    gates.made[0].answer()
    assert caught.value.answer.ready
    assert at.allows(ending)
    assert at.advance(ending) is ahead


def test_a_no_counts_as_a_refusal_and_is_counted_as_overruled() -> None:
    state, gates = started()
    _, at = _passed(state, vocabulary().encode(BLOCK))
    ending = vocabulary().encode(">>>>>>> REPLACE\n")[0]
    assert isinstance(at, EditConstraint)
    assert at._after(ending, sampled=False) is not None
    gates.made[0].answer(Verdict(holds=False, overruled=True))
    assert not at.allows(ending)
    assert at.overruled() == 1
    assert at.allows(vocabulary().encode("x")[0])


def test_where_the_recogniser_says_no_a_draft_stops_and_tree_sitter_is_asked_all_the_same() -> None:
    state, gates = started()
    _, at = _passed(state, vocabulary().encode(BLOCK + "w = (\n"))
    ending = vocabulary().encode(">>>>>>> REPLACE\n")[0]
    assert isinstance(at, EditConstraint)
    assert at._after(ending, sampled=False) is None
    with pytest.raises(Pending):
        at.allows(ending)
    gates.made[0].answer()
    assert not at.allows(ending)
    assert at.overruled() == 0


def test_going_back_waits_for_the_gate_too() -> None:
    state, gates = started()
    count, at = _passed(state, vocabulary().encode(BLOCK + "w = ("))
    with pytest.raises(Pending):
        at.retreat()
    gates.made[0].answer()
    retreat = at.retreat()
    assert retreat is not None
    assert retreat.keep == len(vocabulary().encode(BLOCK))
    assert retreat.keep < count


def test_nothing_is_said_before_the_files_have_been_read() -> None:
    state, gates = started()
    gates.made[0].ready = False
    first = vocabulary().encode(BLOCK)[0]
    with pytest.raises(Pending) as caught:
        state.allows(first)
    assert not caught.value.answer.ready
    assert not state.draft(8).tokens
    gates.made[0].ready = True
    assert caught.value.answer.ready
    assert state.allows(first)


def test_whether_an_output_may_end_is_waited_for_and_asked_once() -> None:
    gates = SlowGates()
    state: Constraint = compile_edit(EditSpec(files=(FILE,), syntax="final"), vocabulary(), gates)
    *tokens, last = vocabulary().encode(BLOCK + ">>>>>>> REPLACE\n")
    for token in tokens:
        state = state.advance(token)
    for _ in range(3):
        with pytest.raises(Pending):
            state.allows(last)
    assert state.admits([last]) == 0
    assert len(gates.made[0].asked) == 1
    gates.made[0].answer()
    assert state.allows(last)
    assert state.advance(last).may_end()
