"""Reads and parses files in a process of its own: requests as lines on standard input, facts on standard output.

A request is a JSON list of path and languages; the answer a JSON list of the content's digest and the facts' length, a line end,
and the facts. A file that takes too long or too much memory ends the process.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

from dovetail.agent.repo.extract import extract
from dovetail.agent.repo.files import digest_of, read

PARSE_SECONDS = 5.0
"""Processor time for one file: no source that people write takes more."""

_MEMORY = 1 << 30


def parse_file(root: Path, path: str, languages: list[str]) -> tuple[str, bytes]:
    """Digest and facts of one file; the digest is empty where it cannot be read any more."""
    content = read(root, path)
    if content is None:
        return "", b""
    return digest_of(content), extract(content, languages).encode()


def main() -> None:
    """Answer requests until standard input ends."""
    root = Path(sys.argv[1])
    out = sys.stdout.buffer
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        path, languages = json.loads(line)
        signal.setitimer(signal.ITIMER_VIRTUAL, PARSE_SECONDS)
        digest, raw = parse_file(root, path, languages)
        out.write(json.dumps([digest, len(raw)]).encode() + b"\n" + raw)
        out.flush()


if __name__ == "__main__":
    main()
