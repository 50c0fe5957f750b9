"""An issue's text in Markdown: its title and its body. Judges nothing of what it says."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from dovetail.agent.problems import FileProblem

_MOST_BYTES = 64 << 10
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Issue:
    """What is asked for."""

    title: str
    body: str

    @property
    def task(self) -> str:
        """As the agent takes it."""
        return f"{self.title}\n\n{self.body}".strip()


def read_issue(source: str) -> Issue:
    """The issue in a file, or on standard input for ``-``.

    Raises:
        FileProblem: it cannot be read, is empty, or too large for a task.
    """
    try:
        raw = sys.stdin.buffer.read(_MOST_BYTES + 1) if source == "-" else _read(Path(source))
        text = raw.decode("utf-8")
    except OSError as error:
        raise FileProblem(f"The issue {source} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise FileProblem(f"The issue {source} is not UTF-8 text.") from error
    if len(raw) > _MOST_BYTES:
        raise FileProblem(f"The issue {source} is larger than {_MOST_BYTES >> 10} KiB: too long for a task.")
    return parse_issue(text)


def parse_issue(text: str) -> Issue:
    """Title and body: the first line that says something, without its heading signs, and the rest without comments."""
    lines = _COMMENT.sub("", text.replace("\r\n", "\n")).strip().split("\n")
    title = re.sub(r"\s+", " ", lines[0].strip().lstrip("#").removeprefix("Title:")).strip()
    if not title:
        raise FileProblem("The issue is empty: its first line must say what is wanted.")
    return Issue(title[:200], "\n".join(lines[1:]).strip())


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MOST_BYTES + 1)
