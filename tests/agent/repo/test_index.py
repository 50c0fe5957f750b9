"""The index follows the files: what it says after any changes is what a fresh one says."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repositories import git, write

from dovetail.agent.problems import FileProblem
from dovetail.agent.repo import scan
from dovetail.agent.repo.facts import decode
from dovetail.agent.repo.index import Changes, RepoIndex
from dovetail.agent.repo.store import default_cache

Make = Callable[[Mapping[str, str | bytes]], RepoIndex]

SOURCES = {
    "app/core.py": "from app.util import tidy\n\ndef run(x):\n    return tidy(x)\n",
    "app/util.py": "def tidy(x):\n    return x\n",
    "app/__init__.py": "",
}


def told(index: RepoIndex) -> tuple[object, ...]:
    """Everything that an index says of its files."""
    return (
        dict(index.files),
        list(index.graph.edges()),
        {path: [index.callers(symbol) for symbol in facts.definitions] for path, facts in index.files.items()},
        index.map(400, ["tidy"]),
        index.patterns(),
    )


def test_definitions_and_references_have_places(make: Make) -> None:
    index = make(SOURCES)
    [symbol] = index.definitions("tidy")
    assert (symbol.path, symbol.line, symbol.last_line, symbol.kind) == ("app/util.py", 1, 2, "function")
    assert symbol.signature == "def tidy(x)"
    uses = [(use.path, use.line, use.kind, use.within) for use in index.references("tidy")]
    assert uses == [("app/core.py", 1, "import", ""), ("app/core.py", 4, "call", "run")]
    assert index.definitions("nothing") == [] and index.references("nothing") == []


def test_a_refresh_tells_what_changed(make: Make) -> None:
    index = make(SOURCES)
    assert index.refresh() == Changes()
    write(index.root, {"app/util.py": "def tidier(x):\n    return x\n", "new.js": "function f() {}"})
    (index.root / "app/core.py").unlink()
    assert index.refresh() == Changes(("new.js",), ("app/util.py",), ("app/core.py",))
    assert index.definitions("tidy") == [] and len(index.definitions("tidier")) == 1
    assert not index.refresh()


def test_a_change_that_keeps_size_and_time_is_seen(make: Make) -> None:
    index = make({"a.py": "x = 1\n"})
    seen = (index.root / "a.py").stat()
    write(index.root, {"a.py": "y = 1\n"})
    os.utime(index.root / "a.py", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert index.refresh().changed == ("a.py",)


def test_a_second_opening_parses_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    before = told(make(SOURCES))

    def refuse(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr(scan, "parse_file", refuse)
    assert told(make({})) == before
    again = make({"moved/util.py": SOURCES["app/util.py"]})
    assert len(again.definitions("tidy")) == 2
    with pytest.raises(AssertionError, match="parsed again"):
        make({"app/other.py": "z = 2\n"})


def test_the_cache_lies_outside_and_may_be_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repo"
    write(root, SOURCES)
    before = sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    inside = RepoIndex.open(root, root / "cache")
    assert len(inside.files) == 3
    inside.close()
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == before
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    index = RepoIndex.open(root)
    expected = told(index)
    index.close()
    [file] = default_cache().glob("*.sqlite")
    assert file.is_relative_to(tmp_path / "home")
    for damage in (b"no database", file.read_bytes()[: file.stat().st_size // 2]):
        file.write_bytes(damage)
        index = RepoIndex.open(root)
        assert told(index) == expected
        index.close()
    unusable = tmp_path / "file"
    unusable.write_text("")
    index = RepoIndex.open(root, unusable)
    assert told(index) == expected
    index.close()


def test_a_cache_that_another_process_holds_costs_time_only(tmp_path: Path) -> None:
    write(tmp_path / "repo", SOURCES)
    first = RepoIndex.open(tmp_path / "repo", tmp_path / "cache")
    [file] = (tmp_path / "cache").glob("*.sqlite")
    holder = sqlite3.connect(file)
    holder.execute("BEGIN EXCLUSIVE")
    write(first.root, {"more.py": "def more(): pass\n"})
    assert first.refresh().added == ("more.py",)
    second = RepoIndex.open(tmp_path / "repo", tmp_path / "cache")
    assert told(second) == told(first)
    for database in (holder, first, second):
        database.close()


def test_another_version_of_the_program_reads_everything_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make(SOURCES).close()
    monkeypatch.setattr("dovetail.agent.repo.store.version", lambda: "other")
    parsed: list[str] = []
    before = scan.parse_file

    def counted(root: Path, path: str, languages: list[str]) -> tuple[str, bytes]:
        parsed.append(path)
        return before(root, path, languages)

    monkeypatch.setattr(scan, "parse_file", counted)
    make({})
    assert sorted(parsed) == sorted(SOURCES)


def test_files_that_are_not_read_are_known_by_name(make: Make) -> None:
    index = make({"big.py": b"x = 1\n" * 300_000, "data.bin": b"\0\1", "binary.py": b"\0", "README": "hello"})
    assert {path: facts.skipped for path, facts in index.files.items()} == {
        "README": "",
        "big.py": "larger than 1024 KiB",
        "binary.py": "binary",
        "data.bin": "",
    }
    assert all(not facts.definitions for facts in index.files.values())


def test_an_empty_folder_and_what_is_no_folder(make: Make, tmp_path: Path) -> None:
    index = make({})
    assert told(index) == ({}, [], {}, "", "")
    with pytest.raises(FileProblem, match="is not a folder"):
        RepoIndex.open(tmp_path / "nowhere", tmp_path / "cache")


def test_many_files_are_parsed_by_processes_and_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        f"m{number}.py": f"from m{number - 1} import f{number - 1}\ndef f{number}(): pass\n" for number in range(60)
    }
    write(tmp_path, files)
    tasks = [scan.Task(path, ("python",), len(content), "") for path, content in files.items()]
    parsers = scan.Parsers(tmp_path)
    alone = sorted(parsers.parse(tasks))
    monkeypatch.setattr(scan, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(scan, "_SMALL", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert sorted(parsers.parse(tasks)) == alone == sorted(parsers.parse(tasks))
    parsers.close()


def test_a_file_that_kills_the_parser_is_left_out_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"m{number}.py": f"x{number} = 1\n" for number in range(20)}
    write(tmp_path, files)
    deadly = tmp_path / "deadly"
    deadly.mkdir()
    (deadly / "sitecustomize.py").write_text(
        "import os, dovetail.agent.repo.extract as e\nreal = e.extract\n"
        "e.extract = lambda content, *rest: os._exit(9) if b'x7 ' in content else real(content, *rest)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(deadly))
    monkeypatch.setattr(scan, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(scan, "_SMALL", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    tasks = [scan.Task(path, ("python",), len(content), "d") for path, content in files.items()]
    parsers = scan.Parsers(tmp_path)
    parsed = {found.path: decode(found.raw, found.path, found.digest) for found in parsers.parse(tasks)}
    parsers.close()
    assert parsed.keys() == files.keys()
    assert [path for path, facts in parsed.items() if facts.skipped] == ["m7.py"]


NAMES = st.sampled_from(
    ["a.py", "b.py", "pkg/a.py", "pkg/__init__.py", "pkg/b c.py", "x.ts", "y/index.ts", "z.go", "n.txt"]
)
CONTENTS = st.one_of(
    st.sampled_from(
        [
            "from pkg import a\nfrom a import *\na.f()\n",
            "import a, b\nclass C(a.B):\n    def f(self): return self.g()\n",
            "def f(): pass\ndef g(): f()\n",
            "import { f } from './x';\nexport class A extends B { f() { return f(); } }\n",
            "export * from './y';\nexport const f = () => 1;\n",
            "package z\nfunc F() {}\n",
            "def broken(:\n",
        ]
    ).map(str.encode),
    st.binary(max_size=20),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, CONTENTS),
        st.tuples(st.just("remove"), NAMES, st.just(b"")),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("refresh"), st.just(""), st.just(b"")),
    ),
    min_size=1,
    max_size=12,
)


@given(steps=STEPS, with_git=st.booleans())
@settings(max_examples=20, deadline=None)
def test_after_any_changes_the_index_is_a_fresh_one(steps: list[tuple[str, str, bytes | str]], with_git: bool) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        root = folder / "repo"
        write(root, {"a.py": "def f(): pass\n"})
        if with_git:
            git(root, "init", "-q")
        index = RepoIndex.open(root, folder / "cache")
        for action, name, other in steps:
            if action == "write" and isinstance(other, bytes):
                write(root, {name: other})
            elif action == "remove":
                (root / name).unlink(missing_ok=True)
            elif action == "rename" and isinstance(other, str) and (root / name).exists():
                (root / other).parent.mkdir(parents=True, exist_ok=True)
                os.replace(root / name, root / other)
            elif action == "refresh":
                index.refresh()
        index.refresh()
        fresh = RepoIndex.open(root, folder / "other cache")
        again = RepoIndex.open(root, folder / "cache")
        assert told(index) == told(fresh) == told(again)
        for opened in (index, fresh, again):
            opened.close()
    finally:
        shutil.rmtree(folder)


def test_text_that_takes_the_parsers_memory_costs_that_file_only(make: Make) -> None:
    index = make({"bad.py": "/*\n" * 10_000, "bad.java": "x => \n" * 5_000, "good.py": "def good(): pass\n"})
    assert all("not parsed" in index.files[path].skipped for path in ("bad.py", "bad.java"))
    assert [symbol.name for symbol in index.files["good.py"].definitions] == ["good"]
