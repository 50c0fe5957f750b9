"""Asking syntax gates: answers that may take a while, and who gives them. Here: at once, in this process.

gate_process.py asks a process of its own, so that a long parse holds nobody up. Knows texts and changes, not edits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Protocol

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate, Verdict


class Answer:
    """A gate's answer, there or still to come. ``expected``: what the recogniser said, if anything."""

    def __init__(self, expected: bool | None = None) -> None:
        self.expected = expected
        self._future: Future[Verdict] = Future()

    @classmethod
    def known(cls, holds: bool, *, broken: bool = False) -> Answer:
        """One that needs no gate."""
        answer = cls()
        answer.give(Verdict(holds, broken=broken))
        return answer

    def give(self, verdict: Verdict) -> None:
        """The answer is there; only the first one counts."""
        if not self._future.done():
            self._future.set_result(verdict)

    @property
    def ready(self) -> bool:
        """Whether ``holds`` knows at once."""
        return self._future.done()

    @property
    def found(self) -> bytes:
        """What a review found, as the reviewer wrote it; waits if need be."""
        return self._future.result().found

    @property
    def holds(self) -> bool:
        """Whether the changed text has no new syntax error; waits if need be."""
        return self._future.result().holds

    def wait(self, seconds: float) -> bool:
        """Wait a while; whether the answer is there."""
        try:
            self._future.result(seconds)
        except FutureTimeoutError:
            return False
        return True

    def when_given(self, call: Callable[[Verdict], None]) -> None:
        """Have ``call`` told, at once or later, in whatever thread."""
        self._future.add_done_callback(lambda future: call(future.result()))


class AllOf(Answer):
    """Several answers as one: holds if all of them do."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__(all(answer.expected for answer in answers))
        self._answers = tuple(answers)

    @property
    def ready(self) -> bool:
        """See Answer."""
        return all(answer.ready for answer in self._answers)

    @property
    def holds(self) -> bool:
        """See Answer."""
        return all(answer.holds for answer in self._answers)

    @property
    def found(self) -> bytes:
        """See Answer: what the first has found that found anything."""
        return next((answer.found for answer in self._answers if answer.found), b"")

    def wait(self, seconds: float) -> bool:
        """See Answer."""
        until = time.monotonic() + seconds
        return all(answer.wait(max(0.0, until - time.monotonic())) for answer in self._answers)


class Gate(Protocol):
    """The gate of one original text."""

    @property
    def ready(self) -> bool:
        """Whether the original has been read, so that ``language`` and ``faulty`` are known at once."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait a while until it has been; whether it has."""
        ...

    @property
    def language(self) -> str | None:
        """The grammar that judges; None: there is none, and everything holds. May wait."""
        ...

    @property
    def faulty(self) -> bool:
        """Whether the original has errors of its own. May wait."""
        ...

    @property
    def unreadable(self) -> str | None:
        """Why the original cannot be read, where it is too much for its parser: then there is no language. Never waits."""
        ...

    def ask(self, changes: Sequence[Change], expected: bool | None = None) -> Answer:
        """Whether the original with ``changes`` (sorted, disjoint) has no syntax error that it did not have before.

        ``expected``: what the recogniser says; tree-sitter is asked all the same.
        """
        ...

    def prepare(self, then: Callable[[], None]) -> None:
        """Get ready beside everything else, and run ``then`` beside it too, or never."""
        ...


class Gates(Protocol):
    """Makes gates. ``blocking``: asking takes as long as answering."""

    blocking: bool

    def open(self, path: str, original: bytes) -> Gate:
        """The gate of a text; the path decides the language."""
        ...

    def review(self, path: str, subject: bytes, reviewer: Callable[[bytes], bytes]) -> Answer:
        """Whether ``reviewer`` finds nothing in ``subject``, which is about ``path``; it may run in a process of its own."""
        ...


class LocalGate:
    """Asks in this process and thread; every answer is there at once. See Gate."""

    def __init__(self, path: str, original: bytes) -> None:
        self._gate = SyntaxGate(path, original)
        self.language = self._gate.language
        self.faulty = self._gate.faulty
        self.unreadable: str | None = None
        self.ready = True

    def wait(self, seconds: float) -> bool:
        """See Gate."""
        return self.ready

    def ask(self, changes: Sequence[Change], expected: bool | None = None) -> Answer:
        """See Gate."""
        answer = Answer(expected)
        answer.give(self._gate.judge(changes, expected))
        return answer

    def prepare(self, then: Callable[[], None]) -> None:
        """Nothing is done ahead."""


class LocalGates:
    """Gates in this process: for tests, and where no engine steps."""

    blocking = True

    def open(self, path: str, original: bytes) -> Gate:
        """See Gates."""
        return LocalGate(path, original)

    def review(self, path: str, subject: bytes, reviewer: Callable[[bytes], bytes]) -> Answer:
        """See Gates."""
        found, answer = reviewer(subject), Answer(expected=True)
        answer.give(Verdict(not found, found=found))
        return answer


LOCAL_GATES = LocalGates()
