"""Patches round trip through the real ``git apply``, byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.serve.edit.patch import unified_diff
from dovetail.serve.types import SourceFile

LINES = st.sampled_from(["x\n", "y\r\n", "\n", "\tz\n", "é\x85\u2028\n", "\x0c\n", "- a\n", "+ b\n", "a\rb\n", "a \n"])
CONTENTS = st.builds(
    lambda lines, end: "".join(lines) + end, st.lists(LINES, max_size=12), st.sampled_from(["", "end", "\r"])
)


def _git(*arguments: str, cwd: Path, data: bytes = b"") -> None:
    home = {"HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    done = subprocess.run(["git", *arguments], cwd=cwd, input=data, capture_output=True, env=home, check=False)
    assert done.returncode == 0, done.stderr.decode() + data.decode()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    _git("init", "-q", ".", cwd=folder)
    return folder


def _round_trip(repository: Path, path: str, before: str, after: str) -> None:
    target = repository / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(before.encode())
    patch = unified_diff(SourceFile(path, before), SourceFile(path, after))
    assert bool(patch) == (before != after)
    if patch:
        _git("apply", "--whitespace=nowarn", "-", cwd=repository, data=patch.encode())
    assert target.read_bytes() == after.encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONTENTS, CONTENTS)
def test_contents(repository: Path, before: str, after: str) -> None:
    _round_trip(repository, "a.txt", before, after)


@pytest.mark.parametrize(
    "path", ["a b.txt", " x", "d d/e f.py", "é.txt", 'q"q.txt', "back\\slash.txt", "tab\tname", "a b/a b", "-x"]
)
@pytest.mark.parametrize(("before", "after"), [("a\nb\n", "a\nc\n"), ("", "x\n"), ("x", ""), ("x", "x\n")])
def test_paths(repository: Path, path: str, before: str, after: str) -> None:
    _round_trip(repository, path, before, after)


def test_several_hunks(repository: Path) -> None:
    lines = [f"line {number}\n" for number in range(60)]
    changed = ["first\n", *lines[1:20], *lines[25:50], "new\n", *lines[50:-1], "last"]
    _round_trip(repository, "long.txt", "".join(lines), "".join(changed))


def test_the_text() -> None:
    patch = unified_diff(SourceFile("a", "x\ny"), SourceFile("a", "x\nz"))
    assert patch == (
        "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n x\n"
        "-y\n\\ No newline at end of file\n+z\n\\ No newline at end of file\n"
    )
