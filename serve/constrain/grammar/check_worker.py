"""A process that checks grammars (``python -m dovetail.serve.constrain.grammar.check_worker``), one at a time.

Ends when its standard input does, so it never outlives its server. Knows nothing but grammars.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import IO

import msgspec

from dovetail.serve.constrain.grammar.checks import READY, SIZE_BYTES, Passed, Refused, Verdict
from dovetail.serve.constrain.grammar.compile import checked
from dovetail.serve.constrain.grammar.threads import GrammarThreads
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until ``questions`` ends."""
    decoder = msgspec.msgpack.Decoder(GrammarSpec)
    threads = GrammarThreads(1)  # for their stack
    answers.write(READY)
    answers.flush()
    while len(size := questions.read(SIZE_BYTES)) == SIZE_BYTES:
        spec = decoder.decode(questions.read(int.from_bytes(size, "big")))
        content = msgspec.msgpack.encode(threads.submit(partial(judged, spec)).result())
        answers.write(len(content).to_bytes(SIZE_BYTES, "big") + content)
        answers.flush()


def judged(spec: GrammarSpec) -> Verdict:
    """Whether a grammar compiles."""
    try:
        return Passed(checked(spec))
    except UserError as error:
        return Refused(error.message, error.code, error.param)


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides.
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
