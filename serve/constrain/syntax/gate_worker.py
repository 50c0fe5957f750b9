"""The gate process (``python -m dovetail.serve.constrain.syntax.gate_worker``): parses texts for an engine, one question at a time.

Says what it begins with, as a text that takes too much of it ends it. Ends when its standard input does, so it never outlives
its engine. Knows nothing but texts and changes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import IO

import msgspec

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.constrain.syntax.gate_messages import (
    Ask,
    Begun,
    Close,
    Judged,
    Open,
    Opened,
    Ready,
    Review,
    Reviewed,
    ToGates,
    Up,
    received,
    send,
)
from dovetail.serve.constrain.syntax.limits import restrain, timed


def serve(questions: IO[bytes], answers: IO[bytes], review: Callable[[bytes], bytes] | None = None) -> None:
    """Answer until ``questions`` ends. ``review``: answers what is not about syntax."""
    decoder = msgspec.msgpack.Decoder(ToGates)
    gates: dict[int, SyntaxGate] = {}
    send(answers, Up())
    while (content := received(questions)) is not None:
        message: ToGates = decoder.decode(content)
        if isinstance(message, Close):
            gates.pop(message.gate, None)
            continue
        send(answers, _begun(message))
        with timed(_size(message, gates)):
            if isinstance(message, Open):
                gate = gates[message.gate] = SyntaxGate(message.path, message.original)
                send(answers, Opened(message.gate, gate.language, gate.faulty))
                gate.prepare()
                send(answers, Ready(message.gate))
            elif isinstance(message, Ask):
                changes = [Change(*change) for change in message.changes]
                verdict = gates[message.gate].judge(changes, message.expected)
                send(answers, Judged(message.question, verdict.holds, verdict.overruled))
            else:
                assert review is not None, "this process reviews nothing"
                send(answers, Reviewed(message.question, review(message.subject)))


def _begun(message: Open | Ask | Review) -> Begun:
    if isinstance(message, Open):
        return Begun(message.gate, None)
    return Begun(message.gate if isinstance(message, Ask) else None, message.question)


def _size(message: Open | Ask | Review, gates: dict[int, SyntaxGate]) -> int:
    if isinstance(message, Review):
        return len(message.subject)
    if isinstance(message, Open):
        return len(message.original)
    return len(gates[message.gate].original) + sum(len(replacement) for _, _, replacement in message.changes)


def main(review: Callable[[bytes], bytes] | None = None) -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the engine decides.
    restrain()
    serve(sys.stdin.buffer, sys.stdout.buffer, review)


if __name__ == "__main__":
    main()
