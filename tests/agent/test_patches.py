"""A unified diff is applied exactly or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.agent.checks.case import Change
from dovetail.agent.loop.patch import make_patch
from dovetail.agent.patches import apply_patch, fine_patch
from dovetail.agent.problems import FileProblem

TEXT = st.lists(st.sampled_from(["a", "b", "", "\r", "- x", "+ y", "@@ -1 +1 @@", "--- a", "ä"]), max_size=8).map(
    "\n".join
)
PATHS = st.sampled_from(["a.py", "b c/ä.txt", 'q"uote.py', "tab\there"])


@given(st.dictionaries(PATHS, st.tuples(TEXT, TEXT), min_size=1))
def test_what_make_patch_writes_is_applied(files: dict[str, tuple[str, str]]) -> None:
    differing = {path: pair for path, pair in files.items() if pair[0] != pair[1]}
    patch = make_patch({path: Change(*pair) for path, pair in differing.items()})
    if differing:
        given_texts = {path: pair[0] for path, pair in differing.items()}
        assert apply_patch(patch, given_texts.get) == {path: pair[1] for path, pair in differing.items()}


@given(TEXT, TEXT)
def test_a_patch_in_single_lines_makes_the_same(before: str, after: str) -> None:
    patch = fine_patch("a.py", before, after)
    assert (apply_patch(patch, {"a.py": before}.get) == {"a.py": after}) if before != after else patch == ""


def test_files_are_made_and_deleted() -> None:
    patch = make_patch({"new.py": Change(None, "a\n"), "old.py": Change("b\n", None)})
    assert apply_patch(patch, {"old.py": "b\n"}.get) == {"new.py": "a\n", "old.py": None}


GOOD = "--- a/f.py\n+++ b/f.py\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (GOOD.replace("\n a", "\n x"), "f.py: what the patch expects at line 1 is not there"),
        (GOOD.replace("-1,2", "-2,2"), "is not there"),
        (GOOD.replace("-1,2", "-1,3"), "ends in the middle"),
        (GOOD.replace("-1,2", "-1,1"), "more lines than it announces"),
        (GOOD.replace("+c", "?c"), "does not belong there"),
        (GOOD.replace("f.py", "g.py"), "g.py does not exist"),
        (GOOD.replace("+++ b/f.py", "+++ b/g.py"), "renames are not applied"),
        (GOOD.replace("a/f.py", "/dev/null"), "exists already"),
        ("old mode 100644\nnew mode 100755\n" + GOOD, "are not applied"),
        (GOOD + GOOD, "names f.py twice"),
        ("@@ -1 +1 @@\n-a\n+b\n", "before it names a file"),
        ("hello", "no unified diff"),
        ("", "no unified diff"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(patch: str, said: str) -> None:
    with pytest.raises(FileProblem, match=said):
        apply_patch(patch, {"f.py": "a\nb\n"}.get)


@settings(max_examples=15)
@given(TEXT, TEXT)
def test_git_makes_the_same_of_a_patch(tmp_path_factory: pytest.TempPathFactory, before: str, after: str) -> None:
    if before == after or not before or not after:
        return
    root: Path = tmp_path_factory.mktemp("git")
    (root / "a.py").write_bytes(before.encode())
    patch = make_patch({"a.py": Change(before, after)})
    subprocess.run(["git", "apply", "-"], cwd=root, input=patch.encode(), check=True, capture_output=True)
    assert (root / "a.py").read_bytes().decode() == apply_patch(patch, {"a.py": before}.get)["a.py"]
