"""The formats in tests: a compiled constraint per format, and a checker of outputs that shares nothing with it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from byte_pairs import vocabulary
from samples import compiles, errors

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.edit.apply import Applied, apply_edits
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.types import EditFormat, EditSpec, FileOperation, Markers, ProtectedLines, SourceFile, SyntaxGating

NAMES: tuple[EditFormat, ...] = ("blocks", "apply_patch", "unified_diff", "whole_file", "str_replace")
PIECES: dict[EditFormat, tuple[str, ...]] = {
    "blocks": ("\n", "=", "=======", ">>>>>>> REPLACE\n"),
    "apply_patch": ("\n", "@@\n", "+", "-", " ", "\n+", "\n-", "*** End Patch", "*** Update File: "),
    "unified_diff": ("\n", "@@", "+", "-", " ", "\n+", "\n-", "```\n", "d", "r"),
    "whole_file": ("\n", "`", "```\n"),
    "str_replace": ('"', '"}\n', '\\n"}\n', '\\n", "', "\\", "n", "1", "0", ","),
}


def favourites(name: EditFormat) -> list[int]:
    """Tokens that end things, lest nothing ever ends."""
    wanted = {piece.encode() for piece in PIECES[name]}
    return [token for token in range(len(vocabulary())) if vocabulary().spelling(token) in wanted]


def compiled(
    name: EditFormat,
    files: list[SourceFile],
    *,
    syntax: SyntaxGating = "each",
    protected: tuple[ProtectedLines, ...] = (),
    operations: tuple[FileOperation, ...] = (),
    policy: tuple[str, ...] = (),
) -> tuple[Constraint, Markers]:
    """The initial state, and the markers."""
    markers = choose_markers(files)
    spec = EditSpec(
        files=tuple(files),
        markers=markers,
        format=name,
        syntax=syntax,
        protected=protected,
        operations=operations,
        policy=policy,
    )
    return compile_edit(spec, vocabulary()), markers


def landed(
    name: EditFormat,
    output: bytes,
    files: list[SourceFile],
    markers: Markers,
    *,
    syntax: SyntaxGating = "each",
    protected: tuple[ProtectedLines, ...] = (),
) -> Applied:
    """``output`` read strictly and applied; then checked by other means."""
    form = FORMATS[name]
    edits = form.read(form.completed(output.decode()), files, markers)
    after = apply_edits(files, edits, syntax=syntax, protected=protected)
    for before, file in after.pairs:
        if file is None or syntax == "off":
            continue
        old = before.content.encode() if before else b""
        if errors((before or file).path, old) == 0:
            assert errors((before or file).path, file.content.encode()) == 0
        if file.path.endswith(".py") and compiles(old):
            assert compiles(file.content.encode())
    for block in edits.blocks:
        content = next(file.content for file in files if file.path == block.path)
        inserted = not block.search and content
        assert inserted or content.count(block.search) == 1 or not content, block
        lines = content.split("\n")[block.start_line - 1 : block.end_line]
        assert inserted or "\n".join(lines) == block.search.removesuffix("\n")
    if name == "str_replace":
        _replaced_by_hand(output.decode(), files, after)
    return after


def _replaced_by_hand(output: str, files: list[SourceFile], after: Applied) -> None:
    """What a client does with the calls, one after the other, last place first."""
    contents = {file.path: file.content for file in files}
    calls = [json.loads(line) for line in output.splitlines()] if "\x85" not in output else []
    if any("insert_line" in call for call in calls) or "\u2028" in output or not calls:
        return
    if any("\x0b" in line or "\x0c" in line or "\x1c" in line for line in [output]):
        return
    if any(
        sum(other.get("old_string", "?") in contents[c["file_path"]] for other in calls) > 1
        for c in calls
        if c["file_path"] in contents
    ):
        return  # A replacement may bring text that a later call looks for.
    for call in calls:
        if "content" in call:
            contents[call["file_path"]] = call["content"]
        elif call["old_string"]:
            assert contents[call["file_path"]].count(call["old_string"]) == 1
            contents[call["file_path"]] = contents[call["file_path"]].replace(call["old_string"], call["new_string"])
    for file in after.changed:
        assert contents[file.path] == file.content


def git_applied(files: list[SourceFile], patch: str) -> dict[str, str]:
    """Every file after ``git apply``."""
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            path = Path(folder) / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content.encode())
        command = ["git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-"]
        subprocess.run(command, input=patch.encode(), cwd=folder, check=True, capture_output=True)
        found = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes().decode() for path in found}
