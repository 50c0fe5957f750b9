"""Snapshots of a work tree: everything comes back, byte for byte, and the user's repository is never touched."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.agent.problems import SnapshotProblem
from dovetail.agent.sandbox.snapshots import Snapshots

Picture = dict[str, tuple[int, bytes]]


def picture(root: Path) -> Picture:
    """The tree as it is: modes and contents of all paths, repository included."""
    found: Picture = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                content = os.fsencode(os.readlink(path))
            else:
                content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[str(path.relative_to(root))] = (status.st_mode, content)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src" / "inner").mkdir(parents=True)
    (folder / "empty" / "deep").mkdir(parents=True)
    (folder / "src/app.py").write_bytes(b"print(1)\r\n")
    (folder / "src/inner/data.bin").write_bytes(bytes(range(256)) * 10)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o751)
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o600)
    (folder / "link").symlink_to("src/app.py")
    (folder / "dangling").symlink_to("nowhere/at all")
    (folder / ".gitattributes").write_text("* text=auto eol=lf\n*.bin filter=evil\n")
    (folder / ".gitignore").write_text("ignored\n")
    (folder / "ignored").write_text("made by the user\n")
    (folder / os.fsdecode(b"name-\xff\n with blanks")).write_text("odd")
    return folder


@pytest.fixture
def snapshots(root: Path, tmp_path: Path) -> Snapshots:
    return Snapshots(root, tmp_path / "store")


def shell(root: Path, command: str) -> None:
    subprocess.run(command, shell=True, cwd=root, check=True)


HARM = {
    "contents": lambda root: (root / "src/app.py").write_text("changed"),
    "deleted file": lambda root: (root / "src/app.py").unlink(),
    "deleted folder": lambda root: shutil.rmtree(root / "src"),
    "everything deleted": lambda root: shell(root, "rm -rf -- * .[a-z]*"),
    "deleted empty folder": lambda root: shutil.rmtree(root / "empty"),
    "new file": lambda root: (root / "src/new.py").write_text("new"),
    "new folders": lambda root: (root / "a/b/c").mkdir(parents=True),
    "renamed": lambda root: (root / "src").rename(root / "moved"),
    "swapped": lambda root: shell(root, "mv run.sh x; mv secret run.sh; mv x secret"),
    "mode": lambda root: (root / "run.sh").chmod(0o644),
    "mode of a folder": lambda root: (root / "src").chmod(0o700),
    "closed folder": lambda root: (root / "src").chmod(0),
    "closed tree": lambda root: root.chmod(0o500),
    "link pointed elsewhere": lambda root: [(root / "link").unlink(), (root / "link").symlink_to("/etc/passwd")],
    "link made a file": lambda root: [(root / "link").unlink(), (root / "link").write_text("x")],
    "file made a folder": lambda root: [(root / "secret").unlink(), (root / "secret/in").mkdir(parents=True)],
    "folder made a file": lambda root: [shutil.rmtree(root / "src"), (root / "src").write_text("x")],
    "folder made a link": lambda root: [shutil.rmtree(root / "src"), (root / "src").symlink_to("empty")],
    "folder made a pipe": lambda root: [shutil.rmtree(root / "src"), os.mkfifo(root / "src")],
    "file made a pipe": lambda root: [(root / "secret").unlink(), os.mkfifo(root / "secret")],
    "ignored file": lambda root: (root / "ignored").unlink(),
    "odd name": lambda root: (root / os.fsdecode(b"name-\xff\n with blanks")).write_text("changed"),
    "same size, old time": lambda root: [(root / "secret").write_text("y"), os.utime(root / "secret", (0, 0))],
    "caches in a new folder": lambda root: (root / "n/__pycache__").mkdir(parents=True),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_everything_comes_back(root: Path, snapshots: Snapshots, harm: str) -> None:
    before, mode = picture(root), root.stat().st_mode
    taken = snapshots.take()
    HARM[harm](root)
    done = snapshots.restore(taken)
    assert picture(root) == before and root.stat().st_mode == mode
    assert done.paths and not done.kept
    assert snapshots.restore(taken).paths == ()


def test_an_undo_can_be_undone(root: Path, snapshots: Snapshots) -> None:
    taken = snapshots.take()
    (root / "src/app.py").write_text("later")
    later = picture(root)
    snapshots.restore(taken)
    [before_undo] = [each for each in snapshots.history() if each.label == "before undo"]
    snapshots.restore(before_undo)
    assert picture(root) == later


def test_nothing_is_written_through_a_link_that_took_a_folders_place(root: Path, snapshots: Snapshots) -> None:
    outside = root.parent / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "app.py").write_text("of somebody else")
    taken, before = snapshots.take(), picture(outside)
    shutil.rmtree(root / "src")
    (root / "src").symlink_to(outside)
    snapshots.restore(taken)
    assert picture(outside) == before and not (root / "src").is_symlink()


def test_what_somebody_else_changed_since_stays(root: Path, snapshots: Snapshots) -> None:
    before = snapshots.take()
    (root / "src/app.py").write_text("the command's")
    (root / "made").mkdir()
    (root / "made/by-command").write_text("x")
    (root / "secret").write_text("the command's")
    after = snapshots.take()
    (root / "secret").write_text("the user's, later")
    (root / "made/by-user").write_text("x")
    done = snapshots.restore(before, after)
    assert set(done.kept) == {"secret", "made/by-user"}
    assert (root / "secret").read_text() == "the user's, later" and (root / "made/by-user").exists()
    assert (root / "src/app.py").read_bytes() == b"print(1)\r\n" and not (root / "made/by-command").exists()


def test_only_what_changed_is_read_again(root: Path, snapshots: Snapshots) -> None:
    for path in root.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))
    first = snapshots.take()
    known = snapshots.hashed
    _until_quiet(snapshots)
    (root / "src/app.py").write_text("changed")
    second = snapshots.take()
    assert known == 8 and snapshots.hashed == 1
    assert snapshots.changes(first, second) == ["src/app.py"]


def _until_quiet(snapshots: Snapshots) -> None:
    """Files that were just written are read once more: their time stamps cannot be trusted yet."""
    for _ in range(10_000):
        snapshots.take()
        if not snapshots.hashed:
            return
    raise AssertionError("files are read again and again")


def test_a_patch_between_snapshots_applies(root: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    first, copy = snapshots.take(), tmp_path / "copy"
    shutil.copytree(root, copy, symlinks=True)
    (root / "src/app.py").write_bytes(b"print(2)\r\n")
    (root / "src/inner/data.bin").write_bytes(bytes(range(255, -1, -1)) * 10)
    (root / "secret").unlink()
    (root / "new.py").write_text("new\n")
    (root / "run.sh").chmod(0o644)
    patch = snapshots.diff(first, snapshots.take())
    assert "-print(1)" in patch and "new mode 100644" in patch and "GIT binary patch" in patch
    subprocess.run(["git", "apply", "-"], cwd=copy, input=patch.encode(), check=True)
    assert {path: content for path, (_, content) in picture(copy).items()} == {
        path: content for path, (_, content) in picture(root).items()
    }


def test_what_is_not_covered_is_said(root: Path, tmp_path: Path) -> None:
    (root / "large").write_bytes(b"x" * 9000)
    os.mkfifo(root / "pipe")
    (root / "node_modules/a").mkdir(parents=True)
    server = socket.socket(socket.AF_UNIX)
    with server, tempfile.TemporaryDirectory(dir="/tmp") as short:
        server.bind(f"{short}/s")
        os.rename(f"{short}/s", root / "socket")
    uncovered = Snapshots(root, tmp_path / "store", largest=8000).take().uncovered
    assert set(uncovered) == {"pipe", "node_modules", "socket", "large"}
    assert uncovered["large"] == "is larger than 8000 bytes"


def test_what_a_snapshot_does_not_cover_is_never_deleted(root: Path, tmp_path: Path) -> None:
    (root / "large").write_bytes(b"x" * 9000)
    os.mkfifo(root / "pipe")
    snapshots = Snapshots(root, tmp_path / "store", largest=8000)
    taken = snapshots.take()
    os.truncate(root / "large", 100)
    (root / "pipe").unlink()
    (root / "pipe").mkdir()
    (root / "pipe/inner").write_text("of the user")
    (root / "secret").write_text("changed")
    assert set(snapshots.restore(taken).kept) == {"large", "pipe", "pipe/inner"}
    assert (root / "pipe/inner").exists() and (root / "large").stat().st_size == 100
    assert (root / "secret").read_text() == "x"


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every folder")
def test_a_folder_that_its_user_closed_is_left_alone(root: Path, snapshots: Snapshots) -> None:
    (root / "closed").mkdir()
    (root / "closed/in").write_text("of the user")
    (root / "closed").chmod(0)
    taken = snapshots.take()
    (root / "secret").write_text("changed")
    snapshots.restore(taken)
    assert stat.S_IMODE((root / "closed").stat().st_mode) == 0
    (root / "closed").chmod(0o700)
    assert (root / "closed/in").read_text() == "of the user"


def test_a_store_in_the_tree_is_refused(root: Path) -> None:
    with pytest.raises(SnapshotProblem, match="lies in the work tree"):
        Snapshots(root, root / ".snapshots")


def test_damage_to_the_store_is_found(root: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    taken = snapshots.take()
    (root / "src/app.py").write_text("changed")
    name = taken.entries["src/app.py"].content
    (tmp_path / "store/objects" / name[:2] / name[2:]).write_bytes(b"damaged")
    with pytest.raises(SnapshotProblem, match="damaged"):
        snapshots.restore(taken)
    (tmp_path / "store/objects" / name[:2] / name[2:]).unlink()
    with pytest.raises(SnapshotProblem, match="not in the store"):
        snapshots.restore(taken)


def test_pruning_keeps_what_the_newest_need(root: Path, snapshots: Snapshots) -> None:
    for number in range(5):
        (root / "src/app.py").write_text(f"print({number})")
        snapshots.take(str(number))
    snapshots.prune(2)
    assert [each.label for each in snapshots.history()] == ["3", "4"]
    snapshots.restore(snapshots.history()[0])
    assert (root / "src/app.py").read_text() == "print(3)"


def test_snapshots_are_found_again(root: Path, tmp_path: Path) -> None:
    taken = Snapshots(root, tmp_path / "store").take("first")
    again = Snapshots(root, tmp_path / "store")
    assert again.get(taken.id) == taken and again.history() == [taken]
    with pytest.raises(SnapshotProblem, match="no snapshot"):
        again.get("../known")


ACTIONS = st.sampled_from(["write", "delete", "folder", "link", "mode"])
NAMES = st.sampled_from(["a", "b", "c/d", "c/e", "c/f/g"])


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(NAMES, st.binary(max_size=20)),
    st.lists(st.tuples(NAMES, ACTIONS, st.binary(max_size=5)), max_size=8),
)  # fmt: skip
def test_whatever_happens_it_comes_back(files: dict[str, bytes], steps: list[tuple[str, str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        root.mkdir()
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        snapshots, before = Snapshots(root, Path(folder) / "store"), picture(root)
        taken = snapshots.take()
        for name, action, content in steps:
            _act(root / name, action, content)
        snapshots.restore(taken)
        assert picture(root) == before


def _act(path: Path, action: str, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if action == "write":
            path.write_bytes(content)
        elif action == "delete":
            shutil.rmtree(path.parent if path.name == "d" else path)
        elif action == "folder":
            path.unlink(missing_ok=True)
            path.mkdir()
        elif action == "link":
            path.unlink(missing_ok=True)
            path.symlink_to("b")
        else:
            path.chmod(0o444)
    except OSError:
        return
