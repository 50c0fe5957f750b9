"""What crosses the pipes between an engine and its gate process, as MessagePack behind a length. Knows no edits."""

from __future__ import annotations

from typing import IO

import msgspec

_LENGTH_BYTES = 4


class Open(msgspec.Struct, frozen=True, tag="open"):
    """A text to judge changes of, from now on ``gate``. Answered by Opened."""

    gate: int
    path: str
    original: bytes


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Whether a gate's text may be changed so; see SyntaxGate.judge. Answered by Judged."""

    gate: int
    question: int
    changes: tuple[tuple[int, int, bytes], ...]
    expected: bool | None


class Review(msgspec.Struct, frozen=True, tag="review"):
    """What the process's reviewer says of ``subject``. ``path``: for the log. Answered by Reviewed."""

    question: int
    path: str
    subject: bytes


class Close(msgspec.Struct, frozen=True, tag="close"):
    """The gate is not needed any more."""

    gate: int


class Up(msgspec.Struct, frozen=True, tag="up"):
    """The process has started and can be asked."""


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """What is worked on from now on, until it is answered: a question, or a gate's own text. Should the process end, this
    has ended it."""

    gate: int | None
    question: int | None


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """What follows Opened, once everything that the first question needs has been done too."""

    gate: int


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """What SyntaxGate says of the text."""

    gate: int
    language: str | None
    faulty: bool


class Judged(msgspec.Struct, frozen=True, tag="judged"):
    """See gate.Verdict."""

    question: int
    holds: bool
    overruled: bool


class Reviewed(msgspec.Struct, frozen=True, tag="reviewed"):
    """``found``: what speaks against it; empty: nothing."""

    question: int
    found: bytes


ToGates = Open | Ask | Review | Close
FromGates = Up | Begun | Opened | Ready | Judged | Reviewed


def send(stream: IO[bytes], message: ToGates | FromGates) -> None:
    """Write one message."""
    content = msgspec.msgpack.encode(message)
    stream.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
    stream.flush()


def received(stream: IO[bytes]) -> bytes | None:
    """The next message's bytes; None at the end of the stream."""
    head = stream.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(head, "little")
    content = stream.read(size)
    return content if len(content) == size else None
