"""The marker lines of a block: chosen so that no given file holds them, and checked. Knows no files' languages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dovetail.serve.errors import UserError
from dovetail.serve.types import Markers, SourceFile

_USUAL_RUN = 7


def choose_markers(files: Iterable[SourceFile]) -> Markers:
    """The shortest markers of the usual shape that cannot be confused with a line of ``files``; deterministic.

    The divider equals no line; no line begins with the run of the search or replace marker, so that every line of every
    file can stand in a replacement.
    """
    lines = [line for file in files for line in _lines(file)]
    runs = [len(line) - len(line.lstrip(mark)) for line in lines for mark in "<>" if line.startswith(mark)]
    outer = max([_USUAL_RUN, *(run + 1 for run in runs)])
    taken = {len(line.rstrip()) for line in lines if line.startswith("=") and not line.rstrip().strip("=")}
    inner = next(length for length in range(_USUAL_RUN, len(taken) + _USUAL_RUN + 1) if length not in taken)
    return Markers(search="<" * outer + " SEARCH", divider="=" * inner, replace=">" * outer + " REPLACE")


def check_markers(markers: Markers, files: Iterable[SourceFile]) -> None:
    """Refuse markers that are not three different lines, or that are a line of a file.

    Raises:
        UserError: naming the marker, and the file that holds it.
    """
    named = {"search": markers.search, "divider": markers.divider, "replace": markers.replace}
    for name, marker in named.items():
        if not marker or re.search(r"[\x00-\x1f\x7f]", marker):
            raise UserError(f"The {name} marker must be one line of visible text.", param=f"markers.{name}")
    if len(set(named.values())) < len(named):
        raise UserError("The three markers must differ.", param="markers")
    for file in files:
        lines = set(_lines(file))
        for name, marker in named.items():
            if marker in lines:
                raise UserError(
                    f"{file.path} has a line that is the {name} marker; choose other markers.", param=f"markers.{name}"
                )


def closing_run(marker: str) -> str:
    """The beginning by which a line of replacement text is known to be the marker.

    Its leading run of one repeated character (three or more), else all of it. A replacement line that begins so *is* the
    terminator: such content cannot be written, which is why ``choose_markers`` makes the run longer than any in the files.
    """
    run = len(marker) - len(marker.lstrip(marker[:1]))
    return marker[:run] if run >= 3 else marker


def _lines(file: SourceFile) -> Iterator[str]:
    return iter(file.content.split("\n"))
