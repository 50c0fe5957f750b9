"""Writing to the user's tree, and the patch."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repositories import git
from shop import everything

from dovetail.agent.checks.case import Change
from dovetail.agent.loop import writing
from dovetail.agent.loop.patch import make_patch
from dovetail.agent.loop.writing import write_changes
from dovetail.agent.problems import FileProblem

lines = st.lists(
    st.sampled_from(["a\n", "b\n", "c", "\r\n", "\r", "\n", "é\n", "\x0c", "d e\n", "\u2028\n", "--- x\n"]), max_size=8
)
texts = lines.map("".join)
paths = st.sampled_from(["a.py", "dir/b c.txt", 'q"uote.py', "é.py", "back\\slash", "t\tab"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(paths, st.tuples(st.none() | texts, texts), min_size=1))
def test_git_applies_the_patch(
    tmp_path_factory: pytest.TempPathFactory, given_files: dict[str, tuple[str | None, str]]
) -> None:
    root = tmp_path_factory.mktemp("patch")
    git(root, "init", "-q")
    changes = {
        path: Change(old, new) for path, (old, new) in given_files.items() if old != new and (old is not None or new)
    }
    for path, change in changes.items():
        (root / path).parent.mkdir(exist_ok=True)
        if change.before is not None:
            (root / path).write_bytes(change.before.encode())
    patch = make_patch(changes)
    if not patch:
        return
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], cwd=root, input=patch.encode(), check=True)
    for path, change in changes.items():
        assert (root / path).read_bytes().decode() == change.after


def test_all_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\r\n")
    (tmp_path / "a").chmod(0o755)
    write_changes(tmp_path, {"a": Change("1\r\n", "2\r\n"), "new/b": Change(None, "3")})
    assert (tmp_path / "a").read_bytes() == b"2\r\n" and (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "new/b").read_text() == "3"


@pytest.mark.parametrize("present", ["changed", None])
def test_what_the_user_changed_meanwhile_is_kept(tmp_path: Path, present: str | None) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    if present is None:
        (tmp_path / "b").unlink()
    else:
        (tmp_path / "b").write_text(present)
    before = everything(tmp_path)
    with pytest.raises(FileProblem, match="b has changed since"):
        write_changes(tmp_path, {"a": Change("1", "2"), "b": Change("1", "2")})
    assert everything(tmp_path) == before


def test_a_new_file_never_replaces_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FileProblem, match="a has changed"):
        write_changes(tmp_path, {"a": Change(None, "2")})
    assert (tmp_path / "a").read_text() == "mine"


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(FileProblem, match="leads out"):
        write_changes(tmp_path / "root", {"a": Change("1", "2")})
    assert (tmp_path / "outside").read_text() == "1"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, FileProblem])
def test_a_failure_puts_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    for name in "abc":
        (tmp_path / name).write_text("1")
    before = everything(tmp_path)
    real = writing.write_source
    count = 0

    def failing(source: object, content: str) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise failure
        real(source, content)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "write_source", failing)
    changes = {"a": Change("1", "2"), "b": Change("1", "2"), "c": Change("1", "2")}
    with pytest.raises(failure):
        write_changes(tmp_path, changes)
    assert everything(tmp_path) == before
