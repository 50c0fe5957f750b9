"""What crosses the socket between the API process and the engine process, as MessagePack. Knows no sockets."""

from __future__ import annotations

import msgspec

from dovetail.serve.types import Event, ModelInfo, Request, Stats


class Add(msgspec.Struct, frozen=True, tag="add"):
    """Generate for this request."""

    request: Request


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """End this request without another event."""

    request_id: str


class LoadAdapter(msgspec.Struct, frozen=True, tag="load_adapter"):
    """Take the adapter in the directory ``path`` under this name, in place of one that has it."""

    name: str
    path: str


class UnloadAdapter(msgspec.Struct, frozen=True, tag="unload_adapter"):
    """Forget an adapter; requests that have it go on."""

    name: str


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Exit now."""


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """Progress of start-up: ``fraction`` in 0..1 and what is being done."""

    fraction: float
    what: str


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The engine takes requests from now on."""

    info: ModelInfo


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The model cannot be served; the process exits. Starting it again would not help."""

    message: str


class Dying(msgspec.Struct, frozen=True, tag="dying"):
    """The engine cannot go on and exits: why, for everybody whose request it had, with a ``code`` as in serve/errors.py."""

    code: str
    message: str


class Report(msgspec.Struct, frozen=True, tag="report"):
    """The events of one step, and the engine's figures after it."""

    events: tuple[Event, ...]
    stats: Stats


class AdapterAnswer(msgspec.Struct, frozen=True, tag="adapter"):
    """The oldest unanswered LoadAdapter or UnloadAdapter of this name is done, or why it cannot be."""

    name: str
    error: str = ""


ToEngine = Add | Cancel | LoadAdapter | UnloadAdapter | Stop
FromEngine = Loading | Loaded | LoadFailed | Dying | AdapterAnswer | Report
