"""Parses many files at once, in as many processes as there are cores; a file that kills its process is left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from dovetail.agent.repo.facts import RawFacts
from dovetail.agent.repo.worker import PARSE_SECONDS, parse_file

_WORTH_PROCESSES = 1_000_000
"""Bytes of source below which starting processes costs more than it saves."""

_SMALL = 2_000
"""Bytes of the largest file that is parsed in this process. Recovering from errors costs parsers time and memory that grow with
the square of the text: 12 KB of nothing but ``/*`` take 5 GiB as Python."""

_MOST_PROCESSES = 8
_QUEUED = 8
_PIPE = subprocess.PIPE


class Task(NamedTuple):
    """A file to parse, and what its content was when it was last looked at."""

    path: str
    languages: tuple[str, ...]
    size: int
    digest: str


class Parsed(NamedTuple):
    """A file's facts, and the digest of the content that they were read from; empty if it could not be read."""

    path: str
    digest: str
    raw: bytes


class Parsers:
    """Parses files: tiny ones here, others in processes, which are kept for the next time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._idle: list[subprocess.Popen[bytes]] = []

    def parse(self, tasks: Sequence[Task]) -> list[Parsed]:
        """The facts of all files, in no particular order."""
        few = sum(task.size for task in tasks) < _WORTH_PROCESSES
        here = [task for task in tasks if task.size <= _SMALL]
        waiting = deque(sorted(set(tasks) - set(here), key=lambda task: -task.size))
        parsed = [Parsed(task.path, *parse_file(self._root, task.path, list(task.languages))) for task in here]
        processes = 1 if few else min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, len(waiting))
        if waiting:
            with ThreadPoolExecutor(processes) as threads:
                done = [threads.submit(self._drain, waiting) for _ in range(processes)]
                parsed += [found for future in done for found in future.result()]
        return parsed

    def close(self) -> None:
        """End the processes."""
        while self._idle:
            _end(self._idle.pop())

    def _drain(self, waiting: deque[Task]) -> list[Parsed]:
        """Take tasks until none is left."""
        parsed: list[Parsed] = []
        mine: deque[Task] = deque()
        while mine or waiting:
            process = self._start()
            alive = False
            try:
                alive = _converse(process, mine, waiting, parsed)
            finally:
                if alive:
                    self._idle.append(process)
                else:
                    _end(process)
            if not alive and mine:
                task = mine.popleft()
                reason = f"not parsed within {PARSE_SECONDS:g} s and what memory there is"
                parsed.append(Parsed(task.path, task.digest, RawFacts(task.languages[0], skipped=reason).encode()))
        return parsed

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return self._idle.pop()
        except IndexError:
            command = [sys.executable, "-P", "-m", "dovetail.agent.repo.worker", str(self._root)]
            return subprocess.Popen(command, stdin=_PIPE, stdout=_PIPE, stderr=subprocess.DEVNULL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(BrokenPipeError):
        _input(process).close()
    if process.stdout is not None:
        process.stdout.close()
    process.wait()


def _converse(process: subprocess.Popen[bytes], mine: deque[Task], waiting: deque[Task], parsed: list[Parsed]) -> bool:
    """Hand out tasks and collect answers; False if the process died before the first of ``mine`` was answered."""
    assert process.stdout is not None
    while True:
        while waiting and len(mine) < _QUEUED:
            try:
                mine.append(waiting.popleft())
            except IndexError:
                break
        if not mine:
            return True
        try:
            _input(process).write(b"".join(json.dumps([task.path, task.languages]).encode() + b"\n" for task in mine))
            _input(process).flush()
        except BrokenPipeError:
            return False
        for _ in range(len(mine)):
            head = process.stdout.readline()
            if not head.endswith(b"\n"):
                return False
            digest, length = json.loads(head)
            raw = process.stdout.read(length)
            if len(raw) != length:
                return False
            parsed.append(Parsed(mine.popleft().path, digest, raw))


def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin
