"""Reading and writing exactly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dovetail.agent.files import read_sources, write_source
from dovetail.agent.problems import FileProblem

EXACT = "\ufeffa\r\n\tb\n\nc — ü"


def test_labels_are_relative_to_where_one_is(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a")
    (tmp_path / "b.py").write_text("b")
    sources = read_sources([Path("src/a.py"), tmp_path / "b.py"], tmp_path)
    assert [(source.label, source.content) for source in sources] == [("src/a.py", "a"), ("b.py", "b")]


def test_labels_of_files_elsewhere_never_climb(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "a.py").write_text("a")
    (tmp_path / "b.py").write_text("b")
    labels = [source.label for source in read_sources([Path("a.py"), Path("../b.py")], here)]
    assert labels == ["here/a.py", "b.py"]
    assert [source.label for source in read_sources([Path("../b.py")], here)] == ["b.py"]


def test_writing_is_exact_and_keeps_the_mode(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    file.write_bytes(EXACT.encode())
    file.chmod(0o751)
    [source] = read_sources([file], tmp_path)
    assert source.content == EXACT
    write_source(source, EXACT + "\r\n")
    assert file.read_bytes() == (EXACT + "\r\n").encode()
    assert file.stat().st_mode & 0o7777 == 0o751
    assert os.listdir(tmp_path) == ["run.sh"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("a")
    (tmp_path / "link.py").symlink_to("real.py")
    [source] = read_sources([Path("link.py")], tmp_path)
    write_source(source, "b")
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_text() == "b"


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("a")
    [source] = read_sources([file], tmp_path)
    file.write_text("theirs")
    with pytest.raises(FileProblem, match="has changed since"):
        write_source(source, "ours")
    assert file.read_text() == "theirs"


@pytest.mark.parametrize(
    ("raw", "message"), [(b"a\0b", "binary file"), (b"a\xff", "not UTF-8 text \\(byte 1\\)"), (None, "does not exist")]
)
def test_what_cannot_be_read(tmp_path: Path, raw: bytes | None, message: str) -> None:
    file = tmp_path / "a.bin"
    if raw is not None:
        file.write_bytes(raw)
    with pytest.raises(FileProblem, match=message):
        read_sources([file], tmp_path)


def test_directories_and_repetitions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="cannot be read"):
        read_sources([tmp_path], tmp_path)
    (tmp_path / "a.py").write_text("a")
    with pytest.raises(FileProblem, match="given twice"):
        read_sources([Path("a.py"), Path("./a.py")], tmp_path)
