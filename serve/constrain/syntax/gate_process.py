"""Syntax gates in processes of their own: a long parse holds up no step, and a scanner that crashes takes only its process along.

Asking returns at once; a thread takes the answers in. A process that dies, or is silent for too long while it is asked
something, is replaced. What it was working on has ended it: a changed text that breaks a parser is no edit, an original that
does cannot be checked, and is not tried again. All else that it was asked is asked again. There are two of them: while one
is at a text that is too much for it, the other answers everybody else. Logs the path.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from msgspec.structs import replace

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate, Verdict
from dovetail.serve.constrain.syntax.gate_messages import (
    Ask,
    Begun,
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
from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.constrain.syntax.limits import cause_of

_COMMAND = (sys.executable, "-m", "dovetail.serve.constrain.syntax.gate_worker")
_LOOK_EVERY_S = 1.0
_REMEMBERED = 1024
_LANES = 2
_LONG_S = 0.05
"""From then on others had better not be asked behind a question."""
_TRIES = 2
"""How often a question is asked if the process dies each time and nobody knows why."""

_log = structlog.get_logger("dovetail.engine")


@dataclass
class _Question:
    """``gate``: the one that it asks. ``tries``: how often it was lost with its process, and nobody knows why."""

    path: str
    gate: RemoteGate | None
    message: Ask | Review
    answer: Answer
    since: float
    tries: int = 0


class _Child:
    """One gate process and what it has not answered yet. ``doing``: what it works on, and since when; ``up``: it has begun."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.outbox: queue.SimpleQueue[ToGates | None] = queue.SimpleQueue()
        self.opened: dict[int, weakref.ref[RemoteGate]] = {}
        self.asked: dict[int, _Question] = {}
        self.awaited: dict[int, tuple[float, RemoteGate]] = {}
        self.doing: tuple[int | None, int | None, float] | None = None
        self.up = False
        self.silent = False
        self.lost = False
        self.over = threading.Event()

    @property
    def waiting_since(self) -> float | None:
        """When it began with what it works on, or was asked what it has not begun with."""
        doing = self.doing
        if doing is not None:
            return doing[2]
        asked = [each.since for each in list(self.asked.values())]
        return min(asked + [each[0] for each in list(self.awaited.values())], default=None)

    @property
    def waiting(self) -> int:
        """How much it has been asked and not answered."""
        return len(self.asked) + len(self.awaited)

    def reluctance(self, gate: RemoteGate | None) -> tuple[bool, int, bool]:
        """The least is asked next: it is there and not busy, has the least to do, and knows the gate."""
        since = self.waiting_since
        late = since is not None and time.monotonic() - since > _LONG_S
        return late or not self.up, self.waiting, gate is not None and gate.number not in self.opened

    def take(self, message: FromGates) -> None:
        """What it says."""
        self.up = True
        if isinstance(message, Begun):
            self.doing = message.gate, message.question, time.monotonic()
            return
        if isinstance(message, Opened):
            self.awaited.pop(message.gate)[1].known(message.language, message.faulty)
            return
        self.doing = None
        if isinstance(message, Judged):
            self.asked.pop(message.question).answer.give(Verdict(message.holds, message.overruled))
        elif isinstance(message, Reviewed):
            self.asked.pop(message.question).answer.give(Verdict(not message.found, found=message.found))


class GateProcess:
    """Makes gates that are asked in processes of their own, started when they are needed. See Gates. Thread-safe.

    ``patience_s``: how long a question may take. ``lanes``: how many processes.
    """

    blocking = False

    def __init__(self, patience_s: float = 10.0, command: Sequence[str] = _COMMAND, lanes: int = _LANES) -> None:
        self._patience_s = patience_s
        self._lanes = lanes
        self._command = tuple(command)
        self._lock = threading.RLock()
        self._children: list[_Child] = []
        self._count = 0
        self._unreadable: OrderedDict[bytes, str] = OrderedDict()
        self._warming: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._warmer: threading.Thread | None = None

    def open(self, path: str, original: bytes) -> Gate:
        """See Gates."""
        with self._lock:
            self._count += 1
            gate = RemoteGate(self, self._count, path, original)
            cause = self._unreadable.get(gate.digest)
            if cause is not None:
                gate.give_up(cause)
                return gate
            self._opened(gate)
        if not original:
            empty = SyntaxGate(path, b"")  # Nothing that could take long, and a new file's edit needs it at once.
            gate.known(empty.language, empty.faulty)
        weakref.finalize(gate, self._closed, gate.number)
        return gate

    def close(self) -> None:
        """End the processes; a gate that is asked later starts another."""
        with self._lock:
            children, self._children = self._children, []
        for child in children:
            child.outbox.put(None)
        for child in children:
            child.over.wait(self._patience_s)

    def _opened(self, gate: RemoteGate) -> _Child:
        """The process that is to be asked, with the gate open in it. Called with the lock held."""
        child = self._running(gate)
        if gate.number not in child.opened:
            child.opened[gate.number] = weakref.ref(gate)
            child.awaited[gate.number] = time.monotonic(), gate
            child.outbox.put(Open(gate.number, gate.path, gate.original))
        return child

    def _running(self, gate: RemoteGate | None) -> _Child:
        """The process that is to be asked next. Called with the lock held."""
        self._children = [child for child in self._children if not child.lost]
        if len(self._children) < self._lanes and all(child.waiting for child in self._children):
            self._children.append(self._started())
        return min(self._children, key=lambda child: child.reluctance(gate))

    def _closed(self, number: int) -> None:
        for child in self._children:  # No lock: the garbage collector may call this anywhere.
            if child.opened.pop(number, None) is not None:
                child.outbox.put(Close(number))

    def _started(self) -> _Child:
        child = _Child(self._command)
        for work in (self._write, self._read, self._watch):
            threading.Thread(target=work, args=(child,), name=f"gates {work.__name__}", daemon=True).start()
        return child

    def ask(self, gate: RemoteGate, changes: Sequence[Change], answer: Answer) -> None:
        """Have ``answer`` given."""
        message = Ask(gate.number, 0, tuple(changes), answer.expected)
        self._ask(_Question(gate.path, gate, message, answer, time.monotonic()))

    def _ask(self, question: _Question) -> None:
        gate = question.gate
        with self._lock:
            if gate is None or gate.unreadable is None:
                child = self._opened(gate) if gate is not None else self._running(None)
                self._count += 1
                child.asked[self._count] = question
                child.outbox.put(replace(question.message, question=self._count))
                return
        question.answer.give(Verdict(holds=True))

    def review(self, path: str, subject: bytes, reviewer: Callable[[bytes], bytes]) -> Answer:
        """See Gates."""
        answer = Answer(expected=True)
        self._ask(_Question(path, None, Review(0, path, subject), answer, time.monotonic()))
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
            child.take(decoder.decode(content))
        child.process.stdout.close()
        self._lose(child)

    def _watch(self, child: _Child) -> None:
        """Kill a process that takes too long over a question."""
        while not child.over.wait(min(_LOOK_EVERY_S, self._patience_s)):
            since = child.waiting_since
            if since is not None and time.monotonic() - since > self._patience_s:
                child.silent = True
                child.process.kill()
                return

    def _lose(self, child: _Child) -> None:
        """The process is gone: answer what has ended it, and ask the rest again."""
        with self._lock:
            child.lost = True
            doing, child.doing = child.doing, None
            asked, awaited = list(child.asked.items()), [gate for _, gate in child.awaited.values()]
            child.asked, child.awaited = {}, {}
        child.outbox.put(None)
        status = child.process.wait()
        cause = cause_of(status, silent=child.silent)
        gate = None
        if doing is not None and doing[0] is not None and (opened := child.opened.get(doing[0])) is not None:
            gate = opened()
        if asked or awaited or doing:
            blamed = [each.path for number, each in asked if doing is not None and number == doing[1]]
            others = [each.path for _, each in asked] + [each.path for each in awaited]
            paths = sorted({gate.path} if gate is not None else set(blamed or others))
            _log.error("the gate process ended while it was asked", status=status, cause=cause, paths=paths)
        known = doing is not None and cause is not None
        if known and doing is not None and doing[1] is None and gate is not None:
            self._give_up(gate, cause or "")
        for number, question in asked:
            if known and doing is not None and number == doing[1]:
                question.answer.give(Verdict(holds=False, broken=True))
            else:
                self._again(question, known)
        for each in awaited:
            self._open_again(each, known)
        child.over.set()

    def _again(self, question: _Question, known: bool) -> None:
        question.tries += not known
        if question.tries >= _TRIES:
            question.answer.give(Verdict(holds=False))
            return
        question.since = time.monotonic()
        self._ask(question)

    def _open_again(self, gate: RemoteGate, known: bool) -> None:
        if gate.unreadable is not None or gate.ready:
            return
        gate.tries += not known
        if gate.tries >= _TRIES:
            gate.give_up("its parser cannot be asked")
            return
        with self._lock:
            self._opened(gate)

    def _give_up(self, gate: RemoteGate, cause: str) -> None:
        with self._lock:
            self._unreadable[gate.digest] = cause
            if len(self._unreadable) > _REMEMBERED:
                self._unreadable.popitem(last=False)
        gate.give_up(cause)


class RemoteGate:
    """One text's gate in the gate process. See Gate."""

    def __init__(self, process: GateProcess, number: int, path: str, original: bytes) -> None:
        self._process = process
        self.number = number
        self.path = path
        self.original = original
        self.digest = hashlib.sha256("\0".join(languages_of(path)).encode() + b"\0" + original).digest()
        self.tries = 0
        self.unreadable: str | None = None
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

    def give_up(self, cause: str) -> None:
        """The original cannot be read."""
        self.unreadable = cause
        self._language, self._faulty = None, True
        self.known(None, faulty=True)

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
