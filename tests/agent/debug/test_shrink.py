"""Shrinking patches: the result passes, is 1-minimal, and applies."""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.agent.debug.changes import Patch
from dovetail.agent.debug.minimise import minimise
from dovetail.agent.debug.shrink import shrink
from dovetail.agent.problems import Problem


@given(st.integers(1, 24), st.data())
def test_the_needed_items_remain(count: int, data: st.DataObject) -> None:
    needed = data.draw(st.sets(st.integers(0, count - 1)))
    asked: list[tuple[int, ...]] = []

    def passes(chosen: Sequence[int]) -> bool:
        asked.append(tuple(chosen))
        return needed <= set(chosen)

    assert minimise(range(count), passes) == sorted(needed)
    assert len(set(asked)) == len(asked)


@given(st.integers(1, 7), st.data())
def test_the_result_is_1_minimal_for_any_test(count: int, data: st.DataObject) -> None:
    passing = data.draw(st.sets(st.frozensets(st.integers(0, count - 1))))

    def passes(chosen: Sequence[int]) -> bool:
        return len(chosen) == count or frozenset(chosen) in passing

    result = minimise(range(count), passes)
    assert passes(result)
    assert not any(passes([each for each in result if each != dropped]) for dropped in result)


def test_what_never_passes_is_refused() -> None:
    with pytest.raises(ValueError, match="do not pass"):
        minimise([1, 2], lambda chosen: False)


def apply(patch: str, files: dict[str, str], folder: Path) -> dict[str, str]:
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    if patch:
        subprocess.run(["git", "apply", "-"], cwd=folder, input=patch.encode(), check=True, capture_output=True)
    return {path.name: path.read_bytes().decode() for path in folder.iterdir()}


def unified(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "--- x\n", "+++ y\n", "@@ -1 +1 @@\n", "\n"]), max_size=14)


@given(LINES, LINES, st.booleans(), st.data())
def test_any_part_of_a_patch_is_what_it_says(old: list[str], new: list[str], end: bool, data: st.DataObject) -> None:
    before, after = "".join(old) + "z" * end, "".join(new) + "z" * end
    patch = Patch(unified("f", before, after))
    assert patched(before, patch.only(patch.changes)) == after
    chosen = [change for change in patch.changes if data.draw(st.booleans())]
    result = patched(before, patch.only(chosen))
    removed = sum(line.startswith("-") for change in chosen for line in change.text.splitlines())
    added = sum(line.startswith("+") for change in chosen for line in change.text.splitlines())
    assert len(result.splitlines()) == len(before.splitlines()) - removed + added
    assert chosen or result == before


def patched(text: str, patch: str) -> str:
    """A patch of one file applied, strictly at the lines that it names."""
    source, result, position = text.splitlines(keepends=True), [], 0
    lines = patch.splitlines(keepends=True)[2:]
    for index, line in enumerate(lines):
        ends = index + 1 < len(lines) and lines[index + 1].startswith("\\")
        content = line[1:-1] if ends else line[1:]
        if line.startswith("@@ -"):
            start, count = map(int, line.split()[1][1:].split(","))
            begin = start - 1 if count else start
            result += source[position:begin]
            position = begin
        elif line[0] in " -":
            assert source[position] == content
            position += 1
            result += [content] if line[0] == " " else []
        elif line[0] == "+":
            result.append(content)
    return "".join(result + source[position:])


BEFORE = "".join(f"line {number}\n" for number in range(40))
AFTER = BEFORE.replace("line 3\n", "LINE 3\n").replace("line 5\n", "").replace("line 20\n", "line 20\nnew\n")


def test_a_patch_over_files_shrinks_to_what_is_needed(tmp_path: Path) -> None:
    patch = (
        "diff --git a/one b/one\n" + unified("one", BEFORE, AFTER)
        + "diff --git a/two b/two\nnew file mode 100644\n--- /dev/null\n+++ b/two\n@@ -0,0 +1,2 @@\n+x\n+y\n"
        + "diff --git a/three b/three\n" + unified("three", "a\n", "b")
    )  # fmt: skip
    runs = 0

    def passes(candidate: str) -> bool:
        nonlocal runs
        runs += 1
        folder = tmp_path / str(runs)
        folder.mkdir()
        done = apply(candidate, {"one": BEFORE, "three": "a\n"}, folder)
        return "new\n" in done["one"] and "x\n" in done.get("two", "")

    shrunk = shrink(patch, passes)
    assert (
        passes(shrunk.patch) and "+new" in shrunk.patch and "LINE 3" not in shrunk.patch and "three" not in shrunk.patch
    )
    assert len(shrunk.dropped) == 3 and shrunk.tests < runs


def test_a_patch_that_does_not_pass_is_refused() -> None:
    with pytest.raises(Problem, match="nothing to shrink"):
        shrink(unified("f", "a\n", "b\n"), lambda patch: False)


@pytest.mark.parametrize("text", ["--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n?x\n"])
def test_broken_patches_are_refused(text: str) -> None:
    with pytest.raises(Problem, match="hunk"):
        Patch(text)
