"""Requests whose constraint is being compiled elsewhere: they wait without holding up the step loop.

The compiler decides which those are: it returns a constraint, or a future of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import NamedTuple, TypeVar

from dovetail.serve.constrain.base import CompileConstraint, Constraint
from dovetail.serve.engine.request.guard import Fault, GuardedConstraint, Meter, constraint_failed
from dovetail.serve.errors import DovetailError, UserError
from dovetail.serve.types import CarrierSpec, EditSpec, GrammarSpec, KnownFile, Request, SourceFile

COMPILE_SECONDS = 10.0
"""After so long a request stops waiting for its constraint."""

_POLL_S = 0.005
_Result = TypeVar("_Result")


class _Pending(NamedTuple):
    request: Request
    future: Future[Constraint]
    since: float


class Compiling:
    """Compiles constraints, at once or in the compiler's own time; a failure is its own request's only.

    ``meter``: what the constraints take.
    """

    def __init__(
        self,
        compile_constraint: CompileConstraint,
        seconds: float = COMPILE_SECONDS,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.compile = compile_constraint
        self._seconds = seconds
        self._pending: dict[str, _Pending] = {}
        self.meter = Meter(note)

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._pending

    def start(self, request: Request) -> Constraint | None:
        """The constraint of ``request``; None while it is being compiled, or when there is none. Raises DovetailError."""
        spec = request.constraint
        if spec is None:
            return None
        fault = Fault(_owner(request))
        self.meter.works(fault.owner)
        made = _result_of(lambda: self.compile(spec), fault)
        if isinstance(made, Future):
            self._pending[request.request_id] = _Pending(request, made, time.monotonic())
            return None
        return GuardedConstraint(made, fault, self.meter)

    def drop(self, request_id: str) -> Request | None:
        """Forget a request, which is returned if it was waiting here."""
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            pending.future.cancel()
        return pending.request if pending else None

    def finished(self) -> Iterator[tuple[Request, Constraint | DovetailError]]:
        """Every request whose constraint is there, or will not come."""
        for request_id, (request, future, since) in list(self._pending.items()):
            if not future.done() and time.monotonic() - since < self._seconds:
                continue
            late = not future.done()
            self.drop(request_id)
            if late:
                yield request, _too_slow(request, self._seconds)
                continue
            fault = Fault(_owner(request))
            try:
                yield request, GuardedConstraint(_result_of(future.result, fault), fault, self.meter)
            except DovetailError as error:
                yield request, error

    def wait(self) -> None:
        """A few milliseconds, or until a constraint is there: for a step with nothing else to do."""
        wait([pending.future for pending in self._pending.values()], _POLL_S, return_when="FIRST_COMPLETED")


def _owner(request: Request) -> str:
    """The request and what it is about, for a log."""
    spec = request.constraint
    if isinstance(spec, EditSpec):
        about = f"{spec.format} of {_paths(spec.files)}"
    elif isinstance(spec, CarrierSpec):
        about = f"calls of {', '.join(tool.name for tool in spec.tools)} on {_paths(spec.files)}"
    else:
        about = "grammar"
    whose = f" of {request.http_request}" if request.http_request else ""
    return f"{request.request_id}{whose}: {about}"


def _paths(files: Iterable[SourceFile | KnownFile]) -> str:
    return ", ".join(file.path for file in files)


def _result_of(call: Callable[[], _Result], fault: Fault) -> _Result:
    """``call()``; a DovetailError as it is, anything else logged and told as a failure."""
    refused: list[DovetailError] = []

    def guarded() -> _Result | None:
        try:
            return call()
        except DovetailError as error:
            refused.append(error)
            return None

    result = fault.guarded(guarded, None)
    if refused:
        raise refused[0]
    if result is None:
        raise constraint_failed()
    return result


def _too_slow(request: Request, seconds: float) -> UserError:
    spec = request.constraint.grammar if isinstance(request.constraint, CarrierSpec) else request.constraint
    param = spec.param if isinstance(spec, GrammarSpec) else None
    message = f"the constraint was not compiled within {seconds:g} s; make it simpler"
    return UserError(message, code="grammar_too_complex", param=param)
