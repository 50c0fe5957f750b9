"""The chat messages around a format's explanation: the files, fenced, and the instruction. Knows no format."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.serve.types import SourceFile


def conversation(system: str, files: Sequence[SourceFile], instruction: str) -> list[dict[str, str]]:
    """A system message, and a user message with the fenced files and the instruction."""
    user = "\n\n".join([*(_fenced(file) for file in files), instruction])
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _fenced(file: SourceFile) -> str:
    ticks = max((len(run) for run in re.findall(r"`+", file.content)), default=0)
    fence = "`" * max(3, ticks + 1)
    end = "" if file.content.endswith("\n") or not file.content else "\n"
    return f"{file.path}\n{fence}\n{file.content}{end}{fence}"
