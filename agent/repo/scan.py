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
from dovetail.agent.repo.worker import parse_file

_WORTH_PROCESSES = 1_000_000
"""Bytes of source below which starting processes costs more than it saves."""

_MOST_PROCESSES = 8
_AT_ONCE = 8
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


def parse_files(root: Path, tasks: Sequence[Task]) -> list[Parsed]:
    """The facts of all files, in no particular order."""
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, len(tasks))
    if processes < 2 or sum(task.size for task in tasks) < _WORTH_PROCESSES:
        return [Parsed(task.path, *parse_file(root, task.path, list(task.languages))) for task in tasks]
    waiting = deque(sorted(tasks, key=lambda task: -task.size))
    with ThreadPoolExecutor(processes) as threads:
        done = [threads.submit(_drain, root, waiting) for _ in range(processes)]
        return [parsed for future in done for parsed in future.result()]


def _drain(root: Path, waiting: deque[Task]) -> list[Parsed]:
    """Take tasks until none is left."""
    parsed: list[Parsed] = []
    mine: deque[Task] = deque()
    while mine or waiting:
        command = [sys.executable, "-P", "-m", "dovetail.agent.repo.worker", str(root)]
        with subprocess.Popen(command, stdin=_PIPE, stdout=_PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                alive = _converse(process, mine, waiting, parsed)
            finally:
                process.kill()
                with suppress(BrokenPipeError):
                    _input(process).close()
        if not alive and mine:
            task = mine.popleft()
            parsed.append(Parsed(task.path, task.digest, RawFacts(task.languages[0], skipped="not parsed").encode()))
    return parsed


def _converse(process: subprocess.Popen[bytes], mine: deque[Task], waiting: deque[Task], parsed: list[Parsed]) -> bool:
    """Hand out tasks and collect answers; False if the process died before the first of ``mine`` was answered."""
    assert process.stdout is not None
    while True:
        while waiting and len(mine) < _AT_ONCE:
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
