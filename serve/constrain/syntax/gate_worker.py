"""The gate process (``python -m dovetail.serve.constrain.syntax.gate_worker``): parses texts for an engine, one question at a time.

Ends when its standard input does, so it never outlives its engine. Knows nothing but texts and changes.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable
from typing import IO

import msgspec

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.constrain.syntax.gate_messages import (
    Ask,
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


def serve(questions: IO[bytes], answers: IO[bytes], review: Callable[[bytes], bytes] | None = None) -> None:
    """Answer until ``questions`` ends. ``review``: answers what is not about syntax."""
    decoder = msgspec.msgpack.Decoder(ToGates)
    gates: dict[int, SyntaxGate] = {}
    while (content := received(questions)) is not None:
        message: ToGates = decoder.decode(content)
        answer: FromGates
        if isinstance(message, Open):
            gate = gates[message.gate] = SyntaxGate(message.path, message.original)
            answer = Opened(message.gate, gate.language, gate.faulty)
        elif isinstance(message, Ask):
            changes = [Change(*change) for change in message.changes]
            verdict = gates[message.gate].judge(changes, message.expected)
            answer = Judged(message.question, verdict.holds, verdict.overruled)
        elif isinstance(message, Review):
            assert review is not None, "this process reviews nothing"
            answer = Reviewed(message.question, review(message.subject))
        else:
            gates.pop(message.gate, None)
            continue
        send(answers, answer)
        if isinstance(message, Open):
            gates[message.gate].prepare()


def main(review: Callable[[bytes], bytes] | None = None) -> None:
    """Entry point."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the engine decides.
    serve(sys.stdin.buffer, sys.stdout.buffer, review)


if __name__ == "__main__":
    main()
