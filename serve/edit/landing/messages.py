"""What crosses the pipes of a landing process, as MessagePack behind a length."""

from __future__ import annotations

from typing import IO

import msgspec

from dovetail.serve.edit.block import EditError, Mismatch, Reason
from dovetail.serve.edit.landing.job import Job, Landing, Stage
from dovetail.serve.errors import UserError
from dovetail.serve.types import SourceFile

_LENGTH_BYTES = 4


class Read(msgspec.Struct, frozen=True, tag="read"):
    """Files to parse: whether that can be done."""

    files: tuple[SourceFile, ...]


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """What is parsed from now on. Should the process end, this has ended it."""

    path: str
    stage: Stage


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The files have been read."""


class Unfit(msgspec.Struct, frozen=True, tag="unfit"):
    """The parts of an EditError."""

    block: int
    path: str
    reason: Reason
    detail: str
    mismatch: Mismatch | None

    def error(self) -> EditError:
        """What was raised."""
        return EditError(self.block, self.path, self.reason, self.detail, mismatch=self.mismatch)


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The parts of a UserError."""

    message: str
    status: int
    code: str
    param: str | None

    def error(self) -> UserError:
        """What was raised."""
        return UserError(self.message, status=self.status, code=self.code, param=self.param)


Question = Job | Read
Said = Begun | Done | Landing | Unfit | Refused


def send(stream: IO[bytes], message: Question | Said) -> None:
    """Write one message."""
    content = msgspec.msgpack.encode(message)
    stream.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
    stream.flush()


def received(stream: IO[bytes]) -> bytes | None:
    """The next message's bytes; None at the end of the stream."""
    head = stream.read(_LENGTH_BYTES)
    size = int.from_bytes(head, "little")
    content = stream.read(size) if len(head) == _LENGTH_BYTES else b""
    return content if len(head) == _LENGTH_BYTES and len(content) == size else None
