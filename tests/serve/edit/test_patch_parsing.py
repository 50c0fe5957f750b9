"""Patches and diffs made elsewhere: what is read, with what semantics; git's own diffs come back as they were."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from formats import git_applied
from samples import FILES

from dovetail.serve.edit.apply import apply_edits
from dovetail.serve.edit.block import EditError, Edits, Operation, block_at
from dovetail.serve.edit.formats.apply_patch.parse import parse_patch
from dovetail.serve.edit.formats.apply_patch.render import render_patch
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.formats.unified_diff.parse import parse_diff
from dovetail.serve.edit.patch import unified_diff
from dovetail.serve.types import Markers, SourceFile

REPEATED = SourceFile("a.txt", "x\ny\nx\ny\nx\nz")


def _patched(hunks: str, file: SourceFile = REPEATED) -> str:
    edits = parse_patch(f"*** Begin Patch\n*** Update File: {file.path}\n{hunks}*** End Patch\n", [file])
    after = apply_edits([file], edits, syntax="off").pairs[0][1]
    assert after is not None
    return after.content


@pytest.mark.parametrize(
    ("hunks", "expected"),
    [
        ("-x\n+1\n", "1\ny\nx\ny\nx\nz\n"),
        ("@@\n-x\n+1\n@@\n-x\n+2\n", "1\ny\n2\ny\nx\nz\n"),
        ("@@ y\n-x\n+1\n", "x\ny\n1\ny\nx\nz\n"),
        ("@@ y\n@@ y\n-x\n+1\n", "x\ny\nx\ny\n1\nz\n"),
        ("@@  y \n-x\n+1\n", "x\ny\n1\ny\nx\nz\n"),
        ("@@ y\n@@ y\n@@ y\n-x\n+1\n", None),
        ("@@ y\n@@\n-x\n+1\n", None),
        ("@@\n-x\n+1\n z\n", "x\ny\nx\ny\n1\nz\n"),
        ("@@\n-z\n+1\n*** End of File\n", "x\ny\nx\ny\nx\n1\n"),
        ("@@\n-x\n+1\n*** End of File\n", None),
        ("@@\n+new\n", "x\ny\nx\ny\nx\nz\nnew\n"),
        ("@@\n-z\n", "x\ny\nx\ny\nx\n"),
        ("@@\n-z\n+1\n@@\n-y\n+2\n", None),
        ("@@\n-x \n+1\n", None),
    ],
)
def test_codex_semantics(hunks: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(EditError):
            _patched(hunks)
    else:
        assert _patched(hunks) == expected


def test_an_empty_line_is_an_empty_context_line() -> None:
    assert _patched("@@\n a\n\n-b\n+c\n", SourceFile("a.txt", "a\n\nb\n")) == "a\n\nc\n"


@pytest.mark.parametrize("path", sorted(FILES))
def test_git_diffs_come_back(path: str, tmp_path: Path) -> None:
    """Random changes, as ``git diff`` writes them: read, applied, and the same as what git compared."""
    chance = random.Random(path)
    before = FILES[path]
    folder = tmp_path / "repository"
    file = folder / path
    file.parent.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    file.write_bytes(before.content.encode())
    subprocess.run(["git", "-C", str(folder), "add", "-A"], check=True)
    for _ in range(3):
        lines = before.content.split("\n")
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(lines) + 1)
            lines[place : place + chance.randrange(2)] = chance.choice([["new"], [], ["a", "b"]])
        after = SourceFile(path, "\n".join(lines))
        file.write_bytes(after.content.encode())
        command = ["git", "-C", str(folder), "-c", "core.autocrlf=false", "diff"]
        diff = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        assert apply_edits([before], parse_diff(diff, [before]), syntax="off").pairs[0][1] == after
        ours = unified_diff(before, after)
        assert apply_edits([before], parse_diff(ours, [before]), syntax="off").pairs[0][1] == after


OPERATIONS = (
    Operation(kind="create", path="n/new file.txt", content="a\nb"),
    Operation(kind="create", path="empty.txt"),
    Operation(kind="delete", path="b.txt"),
    Operation(kind="rename", path="c.txt", to="d/c.txt"),
)


def test_operations_and_edits_through_git_and_back() -> None:
    files = [SourceFile("a.txt", "1\n2\n"), SourceFile("b.txt", "b"), SourceFile("c.txt", "1\n2\n3\n4\n")]
    edits = Edits((block_at("a.txt", "1\n2\n", 0, 2, "x\n"), block_at("c.txt", "1\n2\n3\n4\n", 2, 4, "")), OPERATIONS)
    after = apply_edits(files, edits)
    expected = {file.path: file.content for _, file in after.pairs if file is not None}
    assert expected == {"a.txt": "x\n2\n", "d/c.txt": "1\n3\n4\n", "n/new file.txt": "a\nb", "empty.txt": ""}
    assert git_applied(files, after.patch) == expected
    again = apply_edits(files, parse_diff(after.patch, files))
    assert {file.path: file.content for _, file in again.pairs if file is not None} == expected
    patch = parse_patch(render_patch(files, edits), files)
    by_codex = {file.path: file.content for _, file in apply_edits(files, patch).pairs if file is not None}
    assert by_codex == {**expected, "n/new file.txt": "a\nb\n"}


def test_diffs_without_numbers_over_several_files() -> None:
    files = [SourceFile("a.txt", "1\n2\n"), SourceFile("b.txt", "1\n2\n")]
    text = "Sure:\n\n```diff\n--- a/a.txt\n+++ b/a.txt\n@@ @@\n-1\n+x\n--- a/b.txt\n+++ b/b.txt\n@@ ... @@\n 1\n-2\n```\nDone.\n"
    edits = FORMATS["unified_diff"].read_foreign(text, files, Markers())
    assert [file.content for file in apply_edits(files, edits).changed] == ["x\n2\n", "1\n"]


def test_what_looks_like_a_head_may_be_lines() -> None:
    file = SourceFile("a.sql", "-- a/x\nselect 1\n-- b\nselect 2\n")
    text = "```diff\ndiff --git a/a.sql b/a.sql\n--- a/a.sql\n+++ b/a.sql\n@@ @@\n--- a/x\n+++ b/x\n@@ @@\n--- b\n```\n"
    after = apply_edits([file], FORMATS["unified_diff"].read(text, [file], Markers()))
    assert after.changed[0].content == "++ b/x\nselect 1\nselect 2\n"
