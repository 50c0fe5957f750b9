"""The engine process's main loop: take messages, step, send events. Knows sockets; knows no model and no HTTP."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec
import zmq

from dovetail.serve.engine.process.messages import (
    AdapterAnswer,
    Add,
    Cancel,
    Dying,
    FromEngine,
    LoadAdapter,
    Loaded,
    LoadFailed,
    Loading,
    Report,
    ToEngine,
    UnloadAdapter,
)
from dovetail.serve.errors import DovetailError, ModelError
from dovetail.serve.types import Event, ModelInfo, Request, Stats

_IDLE_MS = 1000
_SILENCE_S = 1.0
"""A process at work says so at least this often, as in a long prompt no event comes: one that is silent is taken for hung."""
_NO_ROOM_TO_LOAD = (
    "the model does not fit into memory; use --quantize int8 or int4, lower --kv-cache-memory, or take a smaller model"
)
_OUT_OF_MEMORY = (
    "the engine ran out of memory while it worked on this request and is starting again; send it again. If this "
    "repeats, the operator should lower --kv-cache-memory or --max-batched-tokens"
)


class Core(Protocol):
    """A synchronous engine: what the worker drives."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def busy(self) -> bool: ...
    def add(self, request: Request) -> list[Event]: ...
    def cancel(self, request_id: str) -> None: ...
    def step(self) -> list[Event]: ...
    def stats(self) -> Stats: ...
    def check(self) -> None: ...


@runtime_checkable
class AdaptingCore(Core, Protocol):
    """One that takes adapters; both raise UserError or ModelError."""

    def load_adapter(self, name: str, path: str) -> None: ...
    def unload_adapter(self, name: str) -> None: ...


Load = Callable[[Callable[[float, str], None]], Core]
"""Loads the model, reporting progress (fraction, what); raises ModelError when the directory cannot be served."""


def run_worker(address: str, load: Load, *, debug: bool = False) -> int:
    """Serve one API process at the ZMQ ``address`` until it says stop or is gone; returns the exit status.

    ``debug``: assert the core's invariants whenever it falls idle.
    """
    parent = os.getppid()
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 2000)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(address)
    encoder = msgspec.msgpack.Encoder()

    def send(message: FromEngine) -> None:
        socket.send(encoder.encode(message))

    try:
        try:
            core = load(lambda fraction, what: send(Loading(fraction, what)))
        except ModelError as error:
            send(LoadFailed(error.message))
            return 1
        except MemoryError:
            send(LoadFailed(_NO_ROOM_TO_LOAD))
            return 1
        send(Loaded(core.info))
        try:
            _loop(socket, core, send, parent, debug)
        except MemoryError:
            # What the failed step left half done is nobody's to guess: a fresh process takes over.
            send(Dying("out_of_memory", _OUT_OF_MEMORY))
            return 1
        return 0
    finally:
        socket.close()
        context.term()


def _adapted(core: Core, message: LoadAdapter | UnloadAdapter) -> AdapterAnswer:
    if not isinstance(core, AdaptingCore):
        return AdapterAnswer(message.name, "this engine takes no adapters")
    try:
        if isinstance(message, LoadAdapter):
            core.load_adapter(message.name, message.path)
        else:
            core.unload_adapter(message.name)
    except DovetailError as error:
        return AdapterAnswer(message.name, error.message)
    return AdapterAnswer(message.name)


def _loop(socket: zmq.Socket[bytes], core: Core, send: Callable[[FromEngine], None], parent: int, debug: bool) -> None:
    decoder = msgspec.msgpack.Decoder(ToEngine)
    told = time.monotonic()
    while os.getppid() == parent:
        events: list[Event] = []
        heard = False
        while socket.poll(0 if core.busy or heard else _IDLE_MS):
            heard = True
            message: ToEngine = decoder.decode(socket.recv())
            if isinstance(message, Add):
                events += core.add(message.request)
            elif isinstance(message, Cancel):
                core.cancel(message.request_id)
            elif isinstance(message, LoadAdapter | UnloadAdapter):
                send(_adapted(core, message))
            else:
                return
        if core.busy:
            events += core.step()
        if debug and not core.busy:
            core.check()
        if events or heard or (core.busy and time.monotonic() - told > _SILENCE_S):
            told = time.monotonic()
            send(Report(tuple(events), core.stats()))
