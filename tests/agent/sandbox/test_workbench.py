"""The user's work is kept: dirty trees, commands that destroy, undo; and nothing destructive is run without consent."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_escapes import why_not
from test_snapshots import Picture, picture

from dovetail.agent.sandbox.config import SandboxConfig
from dovetail.agent.sandbox.guard import Finding
from dovetail.agent.sandbox.snapshots import Snapshots
from dovetail.agent.sandbox.workbench import Workbench

GIT = [
    "git",
    "-c",
    "user.name=a",
    "-c",
    "user.email=a@b",
    "-c",
    "init.defaultBranch=main",
    "-c",
    "commit.gpgsign=false",
]


def git(root: Path, *words: str) -> None:
    subprocess.run([*GIT, *words], cwd=root, check=True, capture_output=True)


def committed(root: Path) -> None:
    for path, text in {"src/app.py": "print(1)\n", "src/lib.py": "x = 1\n", "README.md": "# p\n"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / ".gitignore").write_text("*.log\nbuild/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")


def clean(root: Path) -> None:
    committed(root)
    git(root, "branch", "feature")


def unstaged(root: Path) -> None:
    committed(root)
    (root / "src/app.py").write_text("print(2)  # the user's\n")
    (root / "src/lib.py").unlink()
    (root / "notes.txt").write_text("untracked\n")
    (root / "run.log").write_text("ignored, made by the user\n")
    (root / "src/app.py").chmod(0o755)


def staged(root: Path) -> None:
    committed(root)
    (root / "src/app.py").write_text("staged\n")
    git(root, "add", "-A")
    (root / "src/app.py").write_text("staged, then changed again\n")
    (root / "new.py").write_text("new\n")
    git(root, "add", "new.py")
    git(root, "mv", "src/lib.py", "src/moved.py")


def merging(root: Path) -> None:
    committed(root)
    git(root, "checkout", "-qb", "feature")
    (root / "src/app.py").write_text("theirs\n")
    git(root, "commit", "-qam", "theirs")
    git(root, "checkout", "-q", "main")
    (root / "src/app.py").write_text("ours\n")
    git(root, "commit", "-qam", "ours")
    subprocess.run([*GIT, "merge", "feature"], cwd=root, check=False, capture_output=True)
    (root / "src/app.py").write_text("half resolved\n")


def stashed(root: Path) -> None:
    committed(root)
    (root / "src/app.py").write_text("in the stash\n")
    git(root, "stash")
    (root / "src/app.py").write_text("on top\n")
    (root / "build").mkdir()
    (root / "build/out.bin").write_bytes(bytes(100))
    (root / "empty/deep").mkdir(parents=True)
    (root / "link").symlink_to("src/app.py")


def no_repository(root: Path) -> None:
    (root / "src").mkdir()
    (root / "src/app.py").write_text("print(1)\n")
    (root / "notes.txt").write_text("all there is\n")


TREES: dict[str, Callable[[Path], None]] = {
    "clean": clean, "unstaged": unstaged, "staged": staged, "merging": merging, "stashed": stashed,
    "no repository": no_repository,
}  # fmt: skip

COMMANDS = (
    "git reset --hard; git clean -fdx",
    "git checkout -- . ; git restore . ; git checkout HEAD~0 src/app.py",
    "git stash -u; git stash drop; git stash clear",
    "git branch -D feature; git branch -f main HEAD~1; git tag v1; git update-ref -d refs/heads/main",
    "git add -A; git -c user.name=a -c user.email=a@b commit -qm mine; git commit --amend; git rm -r --cached .",
    "git merge --abort; git rebase --abort; git switch -f feature",
    "git reflog expire --expire=now --all; git gc --prune=now -q; rm -rf .git/objects",
    "rm -rf .git; rm -rf src; rm -f *; find . -delete",
    "rm -rf -- * .[a-z]*; mkdir src; echo planted > src/app.py",
    "mv src gone; mv gone/app.py .; ln -s /etc src",
    "for f in $(find . -type f); do : > $f; done",
    "chmod -R 000 . ; true",
    "find . -type f -name '*.py' -exec sh -c 'tr a-z A-Z < $0 > $0.x; mv $0.x $0' {} \\;",
    "rm -f src/app.py; mkdir src/app.py; touch src/app.py/in; mkfifo pipe.py; rm -rf empty",
    "sed -i 's/^/x/' src/*.py; truncate -s 0 notes.txt; dd if=/dev/zero of=README.md bs=10 count=1 2>/dev/null",
    "cp src/app.py src/copy.py; cp /etc/passwd src/app.py; python3 -c \"import shutil; shutil.rmtree('src')\"",
    "touch -d '2001-01-01' src/* ; chmod 777 src/app.py; mkdir -p a/b/c __pycache__; echo x > a/b/c/d",
    "sleep 60 & rm -rf src; (sleep 0.2; echo late > late.txt) & exit 1",
)


def agrees(finding: Finding) -> bool:
    return True


@pytest.fixture(scope="module")
def backend_name() -> str:
    for name in ("bubblewrap", "landlock"):
        if not why_not(name):
            return name
    pytest.skip("no backend runs here: the repository is kept by containment")


@pytest.fixture(scope="module", params=TREES)
def bench(request: pytest.FixtureRequest, backend_name: str, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("world")
    root = folder / "project"
    root.mkdir()
    TREES[request.param](root)
    config = SandboxConfig(root, backends=[backend_name])
    return Workbench(config, Snapshots(root, folder / "store"), agrees)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_users_work_is_kept(bench: Workbench, command: str) -> None:
    root = bench.snapshots.root
    before = _without_pipes(picture(root))
    step = bench.run(command, timeout=100)
    assert step.outcome is not None and step.outcome.ended_by == "exit"
    assert _repository(picture(root)) == _repository(before)
    bench.undo(step)
    (root / "pipe.py").unlink(missing_ok=True)
    assert _without_pipes(picture(root)) == before


def _repository(seen: Picture) -> Picture:
    return {path: value for path, value in seen.items() if path.startswith(".git/") or path == ".git"}


def _without_pipes(seen: Picture) -> Picture:
    return {path: value for path, value in seen.items() if path not in {"pipe.py", "__pycache__"}}


def test_nothing_destructive_is_run_without_consent(tmp_path: Path, backend_name: str) -> None:
    root = tmp_path / "project"
    root.mkdir()
    unstaged(root)
    asked: list[str] = []

    def refuses(finding: Finding) -> bool:
        asked.append(finding.effect)
        return False

    bench = Workbench(SandboxConfig(root, backends=[backend_name]), Snapshots(root, tmp_path / "store"), refuses)
    before = picture(root)
    for command in ("git reset --hard", "rm -rf src", "echo x > notes.txt", ["git", "clean", "-fdx"]):
        step = bench.run(command)
        assert step.outcome is None and step.finding is not None
        assert bench.undo(step).paths == ()
    assert picture(root) == before and len(asked) == 4 and not bench.snapshots.history()
    assert [step.command for step in bench.steps][:2] == ["git reset --hard", "rm -rf src"]
    assert bench.run("cat notes.txt").outcome.output == "untracked\n"  # type: ignore[union-attr]


def test_large_files_and_inner_repositories_are_read_only(tmp_path: Path, backend_name: str) -> None:
    root = tmp_path / "project"
    (root / "vendor/lib").mkdir(parents=True)
    git(root / "vendor/lib", "init", "-q")
    (root / "data").mkdir()
    (root / "data/large.bin").write_bytes(bytes(5000))
    snapshots = Snapshots(root, tmp_path / "store", largest=4000)
    bench = Workbench(SandboxConfig(root, backends=[backend_name]), snapshots, agrees)
    before = picture(root)
    step = bench.run("echo x > data/large.bin; echo x > vendor/lib/.git/config; rm -rf data vendor; true")
    bench.undo(step)
    assert picture(root) == before


def test_what_the_user_does_meanwhile_is_kept(tmp_path: Path, backend_name: str) -> None:
    root = tmp_path / "project"
    root.mkdir()
    unstaged(root)
    bench = Workbench(SandboxConfig(root, backends=[backend_name]), Snapshots(root, tmp_path / "store"), agrees)
    step = bench.run("echo command > notes.txt; echo command > src/app.py")
    (root / "notes.txt").write_text("the user again\n")
    assert bench.undo(step).kept == ("notes.txt",)
    assert (root / "notes.txt").read_text() == "the user again\n"
    assert (root / "src/app.py").read_text() == "print(2)  # the user's\n"
