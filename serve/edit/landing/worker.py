"""A landing process (``python -m dovetail.serve.edit.landing.worker``): judges finished edits, one job at a time.

Ends when its standard input does, so it never outlives its server.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import msgspec

from dovetail.serve.constrain.syntax.limits import restrain, timed
from dovetail.serve.edit.block import EditError
from dovetail.serve.edit.landing.job import Stage, Stages, landed, read
from dovetail.serve.edit.landing.messages import Begun, Done, Question, Read, Refused, Said, Unfit, received, send
from dovetail.serve.errors import UserError

_LENIENCE = 3.0
"""What has passed an engine's gate in its time must pass here, too, on a machine that has more to do by now."""


class _Announced(Stages):
    def __init__(self, answers: IO[bytes], lenience: float) -> None:
        self._answers = answers
        self._lenience = lenience

    @contextmanager
    def stage(self, path: str, stage: Stage, size: int) -> Iterator[None]:
        send(self._answers, Begun(path, stage))
        with timed(size, self._lenience):
            yield


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until ``questions`` ends."""
    decoder = msgspec.msgpack.Decoder(Question)
    while (content := received(questions)) is not None:
        send(answers, _said(decoder.decode(content), answers))


def _said(question: Question, answers: IO[bytes]) -> Said:
    try:
        if isinstance(question, Read):
            read(question.files, _Announced(answers, 1.0))
            return Done()
        return landed(question, _Announced(answers, _LENIENCE))
    except EditError as error:
        return Unfit(error.block, error.path, error.reason, error.detail, error.mismatch)
    except UserError as error:
        return Refused(error.message, error.status, error.code, error.param)


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides.
    restrain()
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
