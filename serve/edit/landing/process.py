"""Has finished edits judged in processes of their own, with limits: a file that is too much for its parser ends only one of them.

Such a file is then not checked, and named; it is not tried again while it is remembered. Blocks its thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog
from msgspec.structs import replace

from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.constrain.syntax.limits import cause_of
from dovetail.serve.edit.block import EditError
from dovetail.serve.edit.landing.job import Job, Landing, landed
from dovetail.serve.edit.landing.messages import Begun, Question, Read, Refused, Said, Unfit, received, send
from dovetail.serve.errors import EngineError, UserError
from dovetail.serve.types import SourceFile

_COMMAND = (sys.executable, "-m", "dovetail.serve.edit.landing.worker")
_PROCESSES = 2
_PATIENCE_S = 60.0
_REMEMBERED = 1024
_UNREADABLE_AT_MOST = 4
_TRIES = 2
_END_S = 5.0
_DECODER = msgspec.msgpack.Decoder(Said)
_log = structlog.get_logger("dovetail.api")


class Landings(Protocol):
    """Who judges finished edits."""

    def land(self, job: Job) -> Landing:
        """Apply and judge; see job.landed."""
        ...

    def unreadable(self, files: Sequence[SourceFile]) -> dict[str, str]:
        """Those of ``files`` that are too much for their parsers, and why, by path."""
        ...


class LandingsHere:
    """In this process: for tests, and where nobody waits. See Landings."""

    def land(self, job: Job) -> Landing:
        """See Landings."""
        return landed(job)

    def unreadable(self, files: Sequence[SourceFile]) -> dict[str, str]:
        """See Landings."""
        return {}


LANDINGS_HERE = LandingsHere()


class _EndedError(Exception):
    """The process is gone. ``at``: what it was working on."""

    def __init__(self, at: Begun | None, cause: str | None) -> None:
        super().__init__(cause)
        self.at = at
        self.cause = cause


class _UnfitResultError(Exception):
    """A file as edits leave it is too much for its parser."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(path, cause)
        self.path = path
        self.cause = cause


class LandingProcesses:
    """See Landings. Thread-safe. A process is started when it is first needed, and again after one has ended."""

    def __init__(self, command: Sequence[str] = _COMMAND, patience_s: float = _PATIENCE_S) -> None:
        self._command = tuple(command)
        self._patience_s = patience_s
        self._turn = threading.BoundedSemaphore(_PROCESSES)
        self._idle: list[subprocess.Popen[bytes]] = []
        self._unreadable: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    def land(self, job: Job) -> Landing:
        """See Landings.

        Raises:
            EditError: also where the edited file is too much for its parser.
            UserError: also where the policy cannot be checked, or too many files are unreadable.
        """
        files = job.files if job.syntax != "off" or job.policy else ()
        try:
            said = self._persistent(files, lambda known: replace(job, unchecked={**known, **job.unchecked}))[0]
        except _UnfitResultError as error:
            numbers = [number for number, block in enumerate(job.edits.blocks) if block.path == error.path]
            detail = f"the edited file cannot be checked: {error.cause}."
            raise EditError(max(numbers, default=0), error.path, "syntax", detail) from error
        assert isinstance(said, Landing)
        return said

    def unreadable(self, files: Sequence[SourceFile]) -> dict[str, str]:
        """See Landings."""
        return self._persistent(files, lambda known: Read(tuple(file for file in files if file.path not in known)))[1]

    def close(self) -> None:
        """End the processes; a job that comes later starts another."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            _killed(process)

    def _persistent(
        self, files: Sequence[SourceFile], question: Callable[[dict[str, str]], Question]
    ) -> tuple[Said, dict[str, str]]:
        """What a process says, asked again without each file that has ended it; and those, and why, by path."""
        digests = {file.path: _digest(file) for file in files}
        known = {path: self._unreadable[each] for path, each in digests.items() if each in self._unreadable}
        lost = found = 0
        while True:
            try:
                return self._asked(question(known)), known
            except _EndedError as ended:
                at, cause = ended.at, ended.cause
            _log.error("a landing process ended", path=at.path if at else None, stage=at and at.stage, cause=cause)
            if at is None or cause is None:
                lost += 1
                if lost == _TRIES:
                    raise EngineError("The process that checks edits ends again and again; see the server's log.")
                continue
            if at.stage == "result":
                raise _UnfitResultError(at.path, cause)
            if at.stage == "policy":
                raise UserError(
                    f"The policy cannot be checked against these files: {cause}.", code="unreadable_file", param="files"
                )
            known[at.path] = cause
            self._remember(digests[at.path], cause)
            found += 1
            if found > _UNREADABLE_AT_MOST:
                raise UserError(
                    f"{at.path!r} and {found - 1} other files are too much for their parsers: {cause}. "
                    'Leave them out, or ask with "syntax": "off".',
                    code="unreadable_file",
                    param="files",
                )

    def _remember(self, digest: bytes, cause: str) -> None:
        with self._lock:
            self._unreadable[digest] = cause
            if len(self._unreadable) > _REMEMBERED:
                self._unreadable.popitem(last=False)

    def _asked(self, question: Question) -> Said:
        """What a process answers.

        Raises:
            _EndedError: it ended instead.
            EditError, UserError: it says so.
        """
        with self._turn:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            said = _exchanged(process, question, self._patience_s)
            with self._lock:
                self._idle.append(process)
        if isinstance(said, Unfit | Refused):
            raise said.error()
        return said


def _exchanged(process: subprocess.Popen[bytes], question: Question, patience_s: float) -> Said:
    """Ask, and follow what is begun with until the answer; the process is gone if this raises."""
    assert process.stdin is not None and process.stdout is not None
    at: Begun | None = None
    silent = threading.Event()

    def end() -> None:
        silent.set()
        process.kill()

    timer = threading.Timer(patience_s, end)
    timer.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            send(process.stdin, question)
        while (content := received(process.stdout)) is not None:
            said: Said = _DECODER.decode(content)
            if not isinstance(said, Begun):
                return said
            at = said
    finally:
        timer.cancel()
    status = _killed(process)
    raise _EndedError(at, cause_of(status, silent=silent.is_set()))


def _killed(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None and process.stdout is not None
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _digest(file: SourceFile) -> bytes:
    return hashlib.sha256("\0".join((*languages_of(file.path), "", file.content)).encode()).digest()
