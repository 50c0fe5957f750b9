"""Which files belong to a repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from repositories import git, write

from dovetail.agent.repo.files import LARGEST, linked_folder, list_files, read, stamp


def test_with_git_tracked_and_new_files_but_not_ignored_ones(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.log\nout/\n", "a.py": "", "b/c d.py": "", "x.log": "", "out/y.py": ""})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a.py")
    assert list_files(tmp_path) == [".gitignore", "a.py", "b/c d.py"]
    assert list_files(tmp_path / "b") == ["c d.py"]


def test_without_git_a_walk_leaves_out_what_is_made(tmp_path: Path) -> None:
    write(
        tmp_path, {"a.py": "", "node_modules/x.js": "", ".venv/y.py": "", "src/__pycache__/z.pyc": "", "src/z.py": ""}
    )
    assert list_files(tmp_path) == ["a.py", "src/z.py"]


def test_names_with_line_ends_blanks_and_other_encodings(tmp_path: Path) -> None:
    names = ["new\nline.py", " blank .py", "tab\t.py", 'quo"te.py', "ünïcode.py"]
    write(tmp_path, dict.fromkeys(names, ""))
    raw = os.fsencode(tmp_path) + b"/latin\xe9.py"
    Path(os.fsdecode(raw)).write_bytes(b"x = 1\n")
    expected = sorted([*names, "latin\udce9.py"])
    assert list_files(tmp_path) == expected
    git(tmp_path, "init", "-q")
    assert list_files(tmp_path) == expected
    assert read(tmp_path, "latin\udce9.py") == b"x = 1\n"


def test_links_that_leave_the_repository_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, {"outside.py": "secret = 1", "elsewhere/x.py": "", "root/inside.py": "x = 1", "root/pkg/y.py": ""})
    (root / "out.py").symlink_to("../outside.py")
    (root / "in.py").symlink_to("inside.py")
    (root / "folder").symlink_to("../elsewhere")
    (root / "alias").symlink_to("pkg")
    (root / "round").symlink_to("round")
    (root / "broken.py").symlink_to("nowhere.py")
    assert "folder/x.py" not in list_files(root)
    assert stamp(root, "in.py") is not None
    assert [stamp(root, path) for path in ("out.py", "folder", "round", "broken.py")] == [None] * 4
    assert linked_folder(root, "alias") == "pkg"
    assert linked_folder(root, "folder") is None


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    assert stamp(tmp_path, "pipe.py") is None
    (tmp_path / "big.py").write_bytes(b"x" * (LARGEST + 1))
    assert read(tmp_path, "big.py") is None
    assert read(tmp_path, "nothing.py") is None


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_INDEX_FILE"])
def test_variables_of_a_running_git_do_not_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    write(tmp_path, {"a.py": ""})
    git(tmp_path, "init", "-q")
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert list_files(tmp_path) == ["a.py"]
