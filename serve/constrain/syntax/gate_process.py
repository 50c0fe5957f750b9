"""Syntax gates in a process of their own: a long parse holds up no step, and a scanner that crashes takes only that process along.

Asking returns at once; a thread takes the answers in. A process that dies, or is silent for too long while it is asked
something, is replaced, and what it was asked is answered with no: a text that breaks a parser is no edit. Logs the path.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import msgspec
import structlog

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate, Verdict
from dovetail.serve.constrain.syntax.gate_messages import (
    Ask,
    Close,
    FromGates,
    Judged,
    Open,
    Opened,
    Review,
    Reviewed,
    ToGates,
    received,
    send,
)
from dovetail.serve.constrain.syntax.gates import Answer, Gate

_COMMAND = (sys.executable, "-m", "dovetail.serve.constrain.syntax.gate_worker")
_LOOK_EVERY_S = 1.0
_log = structlog.get_logger("dovetail.engine")


class _Child:
    """One gate process and what it has not answered yet."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.outbox: queue.SimpleQueue[ToGates | None] = queue.SimpleQueue()
        self.opened: set[int] = set()
        self.asked: dict[int, tuple[float, str, Answer]] = {}
        self.awaited: dict[int, tuple[float, RemoteGate]] = {}
        self.lost = False
        self.over = threading.Event()


class GateProcess:
    """Makes gates that are asked in a process of their own, started when the first is opened. See Gates. Thread-safe.

    ``patience_s``: how long a question may take.
    """

    blocking = False

    def __init__(self, patience_s: float = 10.0, command: Sequence[str] = _COMMAND) -> None:
        self._patience_s = patience_s
        self._command = tuple(command)
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._count = 0
        self._warming: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._warmer: threading.Thread | None = None

    def open(self, path: str, original: bytes) -> Gate:
        """See Gates."""
        with self._lock:
            self._count += 1
            gate = RemoteGate(self, self._count, path, original)
            self._opened(gate)
        if not original:
            empty = SyntaxGate(path, b"")  # Nothing that could take long, and a new file's edit needs it at once.
            gate.known(empty.language, empty.faulty)
        weakref.finalize(gate, self._closed, gate.number)
        return gate

    def close(self) -> None:
        """End the process; a gate that is asked later starts another."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.outbox.put(None)
            child.over.wait(self._patience_s)

    def _opened(self, gate: RemoteGate) -> _Child:
        """The process, with the gate open in it. Called with the lock held."""
        child = self._running()
        if gate.number not in child.opened:
            child.opened.add(gate.number)
            child.awaited[gate.number] = time.monotonic(), gate
            child.outbox.put(Open(gate.number, gate.path, gate.original))
        return child

    def _running(self) -> _Child:
        """The process. Called with the lock held."""
        if self._child is None or self._child.lost:
            self._child = self._started()
        return self._child

    def _closed(self, number: int) -> None:
        child = self._child  # No lock: the garbage collector may call this anywhere.
        if child is not None and number in child.opened:
            child.outbox.put(Close(number))

    def _started(self) -> _Child:
        child = _Child(self._command)
        for work in (self._write, self._read, self._watch):
            threading.Thread(target=work, args=(child,), name=f"gates {work.__name__}", daemon=True).start()
        return child

    def ask(self, gate: RemoteGate, changes: Sequence[Change], answer: Answer) -> None:
        """Have ``answer`` given."""
        with self._lock:
            child = self._opened(gate)
            self._count += 1
            child.asked[self._count] = time.monotonic(), gate.path, answer
            child.outbox.put(Ask(gate.number, self._count, tuple(changes), answer.expected))

    def review(self, path: str, subject: bytes, reviewer: Callable[[bytes], bytes]) -> Answer:
        """See Gates."""
        answer = Answer(expected=True)
        with self._lock:
            child = self._running()
            self._count += 1
            child.asked[self._count] = time.monotonic(), path, answer
            child.outbox.put(Review(self._count, path, subject))
        return answer

    def warm(self, call: Callable[[], None]) -> None:
        """Run ``call`` in the thread that prepares."""
        with self._lock:
            if self._warmer is None:
                self._warmer = threading.Thread(target=self._warm, name="gates warm", daemon=True)
                self._warmer.start()
        self._warming.put(call)

    def _warm(self) -> None:
        while True:
            self._warming.get()()

    def _write(self, child: _Child) -> None:
        assert child.process.stdin is not None
        try:
            while (message := child.outbox.get()) is not None:
                send(child.process.stdin, message)
        except OSError:
            pass  # The reader notices.
        finally:
            with contextlib.suppress(OSError):
                child.process.stdin.close()

    def _read(self, child: _Child) -> None:
        decoder = msgspec.msgpack.Decoder(FromGates)
        assert child.process.stdout is not None
        while (content := received(child.process.stdout)) is not None:
            message: FromGates = decoder.decode(content)
            if isinstance(message, Opened):
                child.awaited.pop(message.gate)[1].known(message.language, message.faulty)
            elif isinstance(message, Judged):
                child.asked.pop(message.question)[2].give(Verdict(message.holds, message.overruled))
            elif isinstance(message, Reviewed):
                child.asked.pop(message.question)[2].give(Verdict(not message.found, found=message.found))
        child.process.stdout.close()
        self._lose(child)

    def _watch(self, child: _Child) -> None:
        """Kill a process that takes too long over a question."""
        while not child.over.wait(_LOOK_EVERY_S):
            began = [each[0] for each in list(child.asked.values())]
            oldest = min(began + [each[0] for each in list(child.awaited.values())], default=None)
            if oldest is not None and time.monotonic() - oldest > self._patience_s:
                child.process.kill()
                return

    def _lose(self, child: _Child) -> None:
        """The process is gone."""
        with self._lock:
            child.lost = True
            asked, awaited = list(child.asked.values()), [gate for _, gate in child.awaited.values()]
            child.asked, child.awaited = {}, {}
        child.outbox.put(None)
        status = child.process.wait()
        if asked or awaited:
            paths = sorted({path for _, path, _ in asked} | {gate.path for gate in awaited})
            _log.error("the gate process ended while it was asked", status=status, paths=paths)
        for _, _, answer in asked:
            answer.give(Verdict(holds=False))
        for gate in awaited:
            gate.known(None, faulty=True)
        child.over.set()


class RemoteGate:
    """One text's gate in the gate process. See Gate."""

    def __init__(self, process: GateProcess, number: int, path: str, original: bytes) -> None:
        self._process = process
        self.number = number
        self.path = path
        self.original = original
        self._known = threading.Event()
        self._language: str | None = None
        self._faulty = True
        self._then: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def known(self, language: str | None, faulty: bool) -> None:
        """The process has parsed the original."""
        if not self._known.is_set():
            self._language, self._faulty = language, faulty
            self._known.set()
            self._go_on()

    def _go_on(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._process.warm(self._then.get_nowait())

    @property
    def ready(self) -> bool:
        """See Gate."""
        return self._known.is_set()

    def wait(self, seconds: float) -> bool:
        """See Gate."""
        return self._known.wait(seconds)

    @property
    def language(self) -> str | None:
        """See Gate."""
        self._known.wait()
        return self._language

    @property
    def faulty(self) -> bool:
        """See Gate."""
        self._known.wait()
        return self._faulty

    def ask(self, changes: Sequence[Change], expected: bool | None = None) -> Answer:
        """See Gate."""
        answer = Answer(expected)
        self._process.ask(self, changes, answer)
        return answer

    def prepare(self, then: Callable[[], None]) -> None:
        """See Gate."""
        self._then.put(then)
        if self._known.is_set():
            self._go_on()
