"""The Engine protocol over a child process: start it, talk to it, notice its death, start it again.

Knows how to run a command and speak messages.py to it; knows neither models nor HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
import structlog
import zmq

from dovetail.serve.engine.process.adapters import Adapters
from dovetail.serve.engine.process.breadcrumb import beside, last_note
from dovetail.serve.engine.process.mailbox import Mailbox
from dovetail.serve.engine.process.messages import (
    AdapterAnswer,
    Add,
    Cancel,
    Dying,
    FromEngine,
    Loaded,
    LoadFailed,
    Loading,
    Report,
    Stop,
    ToEngine,
)
from dovetail.serve.errors import EngineError, ModelError
from dovetail.serve.types import ErrorEvent, Event, FinishEvent, ModelInfo, Request, Stats

_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_S = 60.0
"""A process that has served for so long starts the count of deaths in a row anew."""
_STOP_GRACE_S = 5.0
_MESSAGES_AT_ONCE = 32
"""How many of the process's messages are taken in a row before others of this process get their turn."""
_SUDDEN = ("engine_died", "the engine process died while it worked on this request; send it again")
_log = structlog.get_logger("dovetail.engine")

Progress = Callable[[float, str], None]


def _ignore_progress(fraction: float, what: str) -> None:
    del fraction, what


class EngineProcess:
    """An Engine whose work is done by ``command``, a worker (see worker.py) given the socket's address as last argument.

    When the process dies, every request in flight ends with a 503 error event and a new process is started, after a wait
    that grows with every death in a row, and given the adapters again. A process that has work and says nothing for ``hang_timeout_s`` seconds is killed.
    ``own_group``: it has processes of its own, which end with it however it ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_progress: Progress = _ignore_progress,
        *,
        hang_timeout_s: float = 120.0,
        adapters: Mapping[str, Path] = MappingProxyType({}),
        own_group: bool = False,
    ) -> None:
        self._command = tuple(command)
        self._own_group = own_group
        self._hang_timeout_s = hang_timeout_s
        self._heard = 0.0
        self._on_progress = on_progress
        self._directory = tempfile.mkdtemp(prefix="dovetail-")
        self._context = zmq.Context()
        self._encoder = msgspec.msgpack.Encoder()
        self._mailboxes: dict[str, Mailbox] = {}
        self._socket: zmq.Socket[bytes] | None = None
        self._drain: Callable[[], None] = lambda: None
        self._adapters = Adapters(self._send, adapters)
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._info: ModelInfo | None = None
        self._stats = Stats()
        self._last_words: tuple[str, str] | None = None
        self._closing = False
        self.restarts = 0

    async def start(self) -> None:
        """Start the process and wait until the model is loaded; raises ModelError when it cannot be."""
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise(first), name="engine supervisor")
        await asyncio.wait({first, self._supervisor}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            self._supervisor.result()
        await first

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and the process lives."""
        return self._socket is not None and self._info is not None

    @property
    def info(self) -> ModelInfo:
        """The loaded model; raises EngineError while there is none."""
        if self._info is None:
            raise EngineError("the model is not loaded yet; try again in a moment", code="not_ready")
        return self._info

    async def generate(self, request: Request) -> AsyncIterator[Event]:
        """See Engine.generate."""
        if not self.ready:
            raise EngineError("the engine is starting; try again in a moment", code="not_ready")
        if request.request_id in self._mailboxes:
            raise EngineError(
                f"request id {request.request_id!r} is already running", status=500, code="duplicate_request"
            )
        mailbox = Mailbox()
        if not self._mailboxes:
            self._heard = time.monotonic()
        self._mailboxes[request.request_id] = mailbox
        ended = False
        try:
            self._send(Add(request))
            while not ended:
                for event in await mailbox.take():
                    ended = isinstance(event, FinishEvent | ErrorEvent)
                    yield event
                    if ended:  # What a step on its way brings behind a cancel is nobody's.
                        break
        finally:
            self._mailboxes.pop(request.request_id, None)
            if not ended:
                self._send(Cancel(request.request_id))

    async def cancel(self, request_id: str) -> None:
        """End a request now; its iterator gets a final error event."""
        mailbox = self._mailboxes.get(request_id)
        if mailbox is None:
            return
        self._send(Cancel(request_id))
        mailbox.put(
            ErrorEvent(request_id=request_id, status=499, code="cancelled", message="the request was cancelled")
        )

    async def load_adapter(self, name: str, path: Path) -> None:
        """See Adapting.load_adapter."""
        _ = self.info
        await self._adapters.load(name, path)

    async def unload_adapter(self, name: str) -> None:
        """See Adapting.unload_adapter."""
        _ = self.info
        await self._adapters.unload(name)

    def stats(self) -> Stats:
        """The figures after the latest step."""
        return msgspec.structs.replace(self._stats, restarts=self.restarts, resident_bytes=self._resident_bytes())

    async def close(self) -> None:
        """Stop the process (killed when it does not stop in time) and remove the socket."""
        self._closing = True
        self._send(Stop())
        if self._process is not None and self._process.returncode is None:
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_GRACE_S)
            except TimeoutError:
                self._process.kill()
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        self._context.destroy(linger=0)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _resident_bytes(self) -> int:
        """Memory of the process now; 0 where there is none, or the system does not say."""
        if self._process is None or self._process.returncode is not None:
            return 0
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0

    def _send(self, message: ToEngine) -> None:
        if self._socket is None:
            return
        # A process that has just died takes no message: never wait for it, its requests are about to be failed.
        with contextlib.suppress(zmq.Again):
            self._socket.send(self._encoder.encode(message), flags=zmq.NOBLOCK)
        # Sending may have swallowed the wake-up for messages that have come meanwhile.
        asyncio.get_running_loop().call_soon(self._drain)

    async def _supervise(self, first: asyncio.Future[None]) -> None:
        """Run one process after another until closed; ``first`` gets the outcome of the first load."""
        deaths = 0
        while not self._closing:
            began = time.monotonic()
            failure = await self._run_once(first)
            if self._closing:
                return
            steady = self._info is not None and time.monotonic() - began > _STEADY_S
            deaths = 0 if steady else deaths + 1
            self._info = None
            if failure is not None and not first.done():
                first.set_exception(failure)
                return
            wait = _BACK_OFF_S[min(max(deaths, 1), len(_BACK_OFF_S)) - 1]
            code, message = self._last_words or _SUDDEN
            self._last_words = None
            at_work = last_note(beside(self._address)) or None
            _log.error(
                "engine process ended; starting it again",
                status=self._returncode,
                code=code,
                wait_s=wait,
                constraint_at_work=at_work,
            )
            self._fail_all(code, message)
            self._adapters.fail(message)
            await asyncio.sleep(wait)
            self.restarts += 1

    async def _run_once(self, first: asyncio.Future[None]) -> ModelError | None:
        """One life of the process. Returns what kept the model from loading, if that is why it ended."""
        address = self._address
        socket = self._context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.bind(address)
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command,
            address,
            stdin=asyncio.subprocess.DEVNULL,
            process_group=0 if self._own_group else None,
        )
        receiver = asyncio.create_task(self._receive(socket, first))
        death = asyncio.create_task(process.wait())
        watch = asyncio.create_task(self._watch(process))
        try:
            await asyncio.wait({receiver, death}, return_when=asyncio.FIRST_COMPLETED)
            if not receiver.done():  # the last messages may still be in the pipe
                await asyncio.wait({receiver}, timeout=0.2)
            if receiver.done():
                return receiver.result()
            if not first.done():
                return ModelError(f"the engine process ended with status {self._returncode} while loading")
            return None
        finally:
            for task in (receiver, death, watch):
                task.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
            if self._own_group:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            self._socket = None
            socket.close(linger=0)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process that owes an answer and has been silent for too long."""
        while process.returncode is None:
            await asyncio.sleep(min(1.0, self._hang_timeout_s / 4))
            if self._mailboxes and self.ready and time.monotonic() - self._heard > self._hang_timeout_s:
                _log.error("engine process hangs; killing it", silent_s=self._hang_timeout_s)
                process.kill()
                return

    @property
    def _address(self) -> str:
        return f"ipc://{self._directory}/engine-{self.restarts}.sock"

    @property
    def _returncode(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    async def _receive(self, socket: zmq.Socket[bytes], first: asyncio.Future[None]) -> ModelError | None:
        """Take messages until one says that the model cannot be loaded."""
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[ModelError] = loop.create_future()
        decoder = msgspec.msgpack.Decoder(FromEngine)

        def drain() -> None:
            # ZeroMQ's descriptor tells of changes only: whoever is woken up reads until there is nothing left.
            for _ in range(_MESSAGES_AT_ONCE):
                # Asked first: pyzmq's exception for an empty socket costs more than all the rest.
                if socket.closed or not int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                    return
                message: FromEngine = decoder.decode(socket.recv(zmq.NOBLOCK))
                if isinstance(message, LoadFailed):
                    if not failed.done():
                        failed.set_result(ModelError(message.message))
                else:
                    self._take(message, socket, first)
            loop.call_soon(drain)

        descriptor = int(socket.getsockopt(zmq.FD))
        loop.add_reader(descriptor, drain)
        self._drain = drain
        drain()
        try:
            return await failed
        finally:
            loop.remove_reader(descriptor)

    def _take(
        self,
        message: Loading | Loaded | Dying | AdapterAnswer | Report,
        socket: zmq.Socket[bytes],
        first: asyncio.Future[None],
    ) -> None:
        self._heard = time.monotonic()
        if isinstance(message, Report):
            self._stats = message.stats
            for event in message.events:
                mailbox = self._mailboxes.get(event.request_id)
                if mailbox is not None:
                    mailbox.put(event)
        elif isinstance(message, Loading):
            self._on_progress(message.fraction, message.what)
        elif isinstance(message, Dying):
            self._last_words = (message.code, message.message)
        elif isinstance(message, AdapterAnswer):
            self._adapters.answered(message)
        else:
            self._info, self._socket = message.info, socket
            self._adapters.restore(first)

    def _fail_all(self, code: str, message: str) -> None:
        for request_id, mailbox in self._mailboxes.items():
            mailbox.put(ErrorEvent(request_id=request_id, status=503, code=code, message=message))
