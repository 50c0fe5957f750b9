"""Checks grammars in processes of their own, which are killed where one takes too long: llguidance cannot be interrupted.

What has passed here compiles elsewhere in about the same time, so that no thread there is held for longer. Knows no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from dovetail.serve.constrain.grammar.limits import COMPILE_SECONDS
from dovetail.serve.constrain.grammar.source import refused, took_too_long
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec

Check = Callable[[GrammarSpec], Awaitable[list[str]]]
"""Raises UserError 400 unless a grammar compiles; returns the keywords of its schema that are left out, as JSON pointers."""

SIZE_BYTES = 4
READY = b"\0"
"""What a process says first: its own start is not held against a grammar."""
START_SECONDS = 60.0
_COMMAND = (sys.executable, "-m", "dovetail.serve.constrain.grammar.check_worker")
_PROCESSES = 2
MOST_WAITING = 64
"""Grammars that wait for a process; at five seconds each the last waits for minutes already."""


class Passed(msgspec.Struct, frozen=True, tag="passed"):
    """The grammar compiles; ``left_out`` of it is not enforced."""

    left_out: list[str]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It does not: the parts of a UserError."""

    message: str
    code: str
    param: str | None


Verdict = Passed | Refused


class CheckProcesses:
    """A Check. A process is started when it is first needed, and again after one was killed or has died.

    ``seconds``: how long one grammar may take.
    """

    def __init__(self, seconds: float = COMPILE_SECONDS, command: Sequence[str] = _COMMAND) -> None:
        self._seconds = seconds
        self._command = tuple(command)
        self._turn = asyncio.Semaphore(_PROCESSES)
        self._idle: list[asyncio.subprocess.Process] = []
        self._checking = 0

    async def __call__(self, spec: GrammarSpec) -> list[str]:
        """See Check. Raises UserError 429 where too many wait already."""
        if self._checking >= _PROCESSES + MOST_WAITING:
            message = (
                f"{MOST_WAITING} grammars wait to be checked already; try again after the time that Retry-After says."
            )
            raise UserError(message, status=429, code="queue_full", param=spec.param)
        self._checking += 1
        try:
            verdict = await self._verdict(spec)
        finally:
            self._checking -= 1
        if isinstance(verdict, Refused):
            raise UserError(verdict.message, code=verdict.code, param=verdict.param)
        return verdict.left_out

    async def _verdict(self, spec: GrammarSpec) -> Verdict:
        async with self._turn:
            idle = self._idle.pop() if self._idle else None
            process = idle if idle is not None else await self._started()
            kept = False
            try:
                if idle is None:
                    async with asyncio.timeout(START_SECONDS):
                        await _ready(process)
                async with asyncio.timeout(self._seconds):  # wait_for of Python 3.11 may swallow a cancellation
                    verdict = await _asked(process, spec)
            except TimeoutError as error:
                raise took_too_long(spec) from error
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise refused(spec, "the compiler could not take it; make it simpler", "grammar_too_complex") from error
            else:
                self._idle.append(process)
                kept = True
            finally:
                if not kept:  # it failed, or whoever asked has gone
                    await _killed(process)
        return verdict

    async def close(self) -> None:
        """End the processes; a grammar that is checked later starts another."""
        while self._idle:
            await _killed(self._idle.pop())

    async def _started(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )


async def _ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    await process.stdout.readexactly(len(READY))


async def _asked(process: asyncio.subprocess.Process, spec: GrammarSpec) -> Verdict:
    assert process.stdin is not None and process.stdout is not None
    content = msgspec.msgpack.encode(spec)
    process.stdin.write(len(content).to_bytes(SIZE_BYTES, "big") + content)
    await process.stdin.drain()
    size = int.from_bytes(await process.stdout.readexactly(SIZE_BYTES), "big")
    verdict: Verdict = msgspec.msgpack.decode(await process.stdout.readexactly(size), type=Verdict)
    return verdict


async def _killed(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
