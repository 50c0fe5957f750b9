"""The fence around a file's content: longer than any run of backticks that begins a line of the files."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dovetail.serve.types import SourceFile

_RUN = re.compile(r"^`+", re.MULTILINE)


def choose_fence(files: Iterable[SourceFile]) -> str:
    """The shortest fence, three backticks or more, that no line of ``files`` begins with; deterministic."""
    longest = max((len(run) for file in files for run in _RUN.findall(file.content)), default=0)
    return "`" * max(3, longest + 1)
