"""Real edits as outputs: what a model that changes ``before`` into ``after`` would have to write, in any edit format.

Reads pairs from a file of JSON lines or makes them from the standard library's own sources. Knows no engine.
"""

from __future__ import annotations

import difflib
import gzip
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dovetail.serve.edit.block import Edits, block_at
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.formats.unified_diff.render import render_numberless
from dovetail.serve.types import EditFormat, EditSpec, SourceFile, SyntaxGating

CONTEXT_LINES = 3


class TrueEdit(NamedTuple):
    """One file before and after a change, and what the change was for."""

    path: str
    before: str
    after: str
    message: str


def read_edits(path: Path) -> list[TrueEdit]:
    """The edits of a file of JSON lines, gzipped if its name says so; other fields than ours are ignored."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [TrueEdit(*(row[field] for field in TrueEdit._fields)) for row in rows]


def made_edits(count: int, seed: int = 0) -> list[TrueEdit]:
    """Edits of standard library modules, drawn deterministically: renames, and lines put in, taken out and moved.

    Not the real thing, but the same on every machine with the same Python, and without a network.
    """
    chance = random.Random(seed)
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    sources = [path for path in files if 2_000 < path.stat().st_size < 40_000]
    edits: list[TrueEdit] = []
    while len(edits) < count:
        path = chance.choice(sources)
        before = path.read_text(encoding="utf-8")
        message, after = _made(before, chance)
        if after != before and _compiles(before) and _compiles(after):
            edits.append(TrueEdit(path.name, before, after, message))
    return edits


def _made(before: str, chance: random.Random) -> tuple[str, str]:
    names = sorted({name for name in re.findall(r"\b[a-z_]{4,}\b", before) if 2 <= before.count(name) <= 12})
    lines = before.splitlines(keepends=True)
    place = chance.randrange(len(lines))
    indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
    kind = chance.randrange(3)
    if kind == 0 and names:
        old = chance.choice(names)
        return f"Rename {old}", re.sub(rf"\b{old}\b", f"{old}_{chance.choice(names)}", before)
    if kind == 1:
        lines.insert(place, f'{indent}print("{chance.choice(names or ["here"])}", {chance.randrange(100)})\n')
        return f"Print at line {place + 1}", "".join(lines)
    lines[place : place + 1] = [lines[place].replace("(", "(None or ", 1)]
    return f"Change line {place + 1}", "".join(lines)


def _compiles(text: str) -> bool:
    try:
        compile(text, "edit", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def specification(edit: TrueEdit, form: EditFormat, syntax: SyntaxGating) -> EditSpec:
    """What holds an output to this edit's file."""
    files = (SourceFile(edit.path, edit.before),)
    return EditSpec(files=files, markers=choose_markers(files), format=form, syntax=syntax)


def output_text(edit: TrueEdit, spec: EditSpec, context: int = CONTEXT_LINES) -> str:
    """The edit in the format of ``spec``: the changed lines with ``context`` lines around them, more where it takes more
    to be unique (upwards first)."""
    edits = Edits(tuple(block_at(edit.path, edit.before, *cut) for cut in _cuts(edit, context)))
    if spec.format == "unified_diff":
        return render_numberless(spec.files, edits)
    return FORMATS[spec.format].render(spec.files, edits, spec.markers)


def _cuts(edit: TrueEdit, context: int) -> Iterator[tuple[int, int, str]]:
    """The start, end and replacement of every block; blocks that grew into each other are one."""
    old, new = _lines(edit.before), _lines(edit.after)
    merged: list[list[int]] = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context):
        span = [group[0][1], group[-1][2], group[0][3], group[-1][4]]
        while edit.before.count("".join(old[span[0] : span[1]])) != 1 and (span[0] > 0 or span[1] < len(old)):
            side, by = (0, -1) if span[0] > 0 else (1, 1)
            span[side] += by
            span[side + 2] += by
        if merged and span[0] < merged[-1][1]:
            merged[-1] = [merged[-1][0], max(span[1], merged[-1][1]), merged[-1][2], max(span[3], merged[-1][3])]
        else:
            merged.append(span)
    for first, end, new_first, new_end in merged:
        start = sum(map(len, old[:first]))
        yield start, start + sum(map(len, old[first:end])), "".join(new[new_first:new_end])


def _lines(text: str) -> list[str]:
    pieces = text.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
