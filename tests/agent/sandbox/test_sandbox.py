"""Choosing a sandbox, what a command sees of its work tree, and who may open what."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from escape_world import backend
from test_escapes import why_not

import dovetail.agent.sandbox.landlock
from dovetail.agent.problems import NoSandbox, SandboxProblem
from dovetail.agent.sandbox import cgroup, kernel, seccomp
from dovetail.agent.sandbox.config import SandboxConfig, read_config
from dovetail.agent.sandbox.launch import Order
from dovetail.agent.sandbox.outcome import Limits
from dovetail.agent.sandbox.output import HeadAndTail
from dovetail.agent.sandbox.sandbox import Sandbox


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    return folder


@pytest.fixture(params=["bubblewrap", "landlock"])
def name(request: pytest.FixtureRequest) -> str:
    reason = why_not(request.param)
    if reason:
        pytest.skip(f"{request.param} cannot run here: {reason}")
    return str(request.param)


@pytest.fixture
def nothing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without bubblewrap and with a kernel without Landlock."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(dovetail.agent.sandbox.landlock, "abi", lambda: 0)


@pytest.mark.usefixtures("nothing_works")
def test_where_nothing_works_the_default_is_refusal(root: Path) -> None:
    with pytest.raises(NoSandbox, match="apt-get install bubblewrap") as caught:
        Sandbox.choose(read_config(root, {}))
    assert "DOVETAIL_OUTER_SANDBOX" in str(caught.value)
    assert "bwrap is not installed" in str(caught.value) and "no Landlock" in str(caught.value)


@pytest.mark.usefixtures("nothing_works")
def test_an_outer_sandbox_is_declared_and_told_in_every_outcome(root: Path) -> None:
    sandbox = Sandbox.choose(read_config(root, {"DOVETAIL_OUTER_SANDBOX": "a virtual machine"}))
    outcome = sandbox.run("echo hello")
    assert outcome.ok and outcome.containment == "none here: the owner declares an outer sandbox (a virtual machine)"
    assert sandbox.gaps


def test_a_bubblewrap_that_contains_nothing_is_not_chosen(root: Path, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "bwrap"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    fake.chmod(0o755)
    os.environ["PATH"] = f"{fake.parent}:{os.environ['PATH']}"
    try:
        with pytest.raises(NoSandbox, match="does not hide files"):
            Sandbox.choose(SandboxConfig(root, backends=["bubblewrap"]))
    finally:
        os.environ["PATH"] = os.environ["PATH"].removeprefix(f"{fake.parent}:")


def test_containment_is_chosen_before_a_declared_outer_sandbox(root: Path, name: str) -> None:
    assert Sandbox.choose(SandboxConfig(root, backends=[name], outer="a container")).name == name


def test_the_tree_is_read_and_written(root: Path, name: str) -> None:
    (root / "src/a.txt").write_text("before\n")
    command = "cat a.txt && echo after > a.txt && mkdir b && ln -s ../a.txt b/link && cat b/link"
    outcome = Sandbox(SandboxConfig(root), backend(name)).run(command, folder=Path("src"))
    assert outcome.output == "before\nafter\n" and outcome.ok
    assert (root / "src/b/link").resolve() == root / "src/a.txt"
    assert (root / "src/a.txt").stat().st_uid == os.getuid()


def test_programs_find_what_they_need(root: Path, name: str) -> None:
    code = (
        "import os, subprocess, sys, tempfile, pwd, multiprocessing, asyncio\n"
        "pwd.getpwuid(os.getuid())\n"
        "tempfile.NamedTemporaryFile().write(b'x')\n"
        "assert subprocess.run(['git', '--version']).returncode == 0\n"
        "asyncio.run(asyncio.sleep(0))\n"
        "open(os.path.join(os.environ['HOME'], 'note'), 'w').write('x')\n"
    )
    outcome = Sandbox(SandboxConfig(root), backend(name)).run(["python3", "-c", code])
    assert outcome.ok, outcome.output


def test_nothing_stays_from_one_command_to_the_next(root: Path, name: str) -> None:
    sandbox = Sandbox(SandboxConfig(root), backend(name))
    assert sandbox.run("echo planted > $HOME/.profile; echo planted > $TMPDIR/x; ls -A $HOME").output == ".profile\n"
    assert sandbox.run("ls -A $HOME $TMPDIR | grep -E 'profile|x$'").output == ""


def test_protected_paths_that_were_not_there_are_taken_away(root: Path, name: str) -> None:
    sandbox = Sandbox(SandboxConfig(root, protected=["rules"]), backend(name))
    outcome = sandbox.run(
        "git init -q . 2>/dev/null; mkdir -p .git rules; echo x > .git/config; echo y > dovetail.toml"
    )
    assert not {".git", "rules", "dovetail.toml"} & set(os.listdir(root))
    assert len(outcome.notes) == 3 and ".git is protected" in outcome.notes[0]


def test_network_is_given_only_where_asked_for(root: Path, name: str) -> None:
    command = ["python3", "-c", "import os, socket; socket.socket(); print(os.readlink('/proc/self/ns/net'))"]
    sandbox = Sandbox(SandboxConfig(root), backend(name))
    here = os.readlink("/proc/self/ns/net")
    assert here in sandbox.run(command, network=True).output
    assert here not in sandbox.run(command).output


def test_a_linked_work_tree_sees_its_repository(tmp_path: Path, name: str) -> None:
    main = tmp_path / "main"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", str(main)], check=True)
    subprocess.run([*git, "-C", str(main), "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "-C", str(main), "worktree", "add", "-q", "../linked"], check=True)
    outcome = Sandbox(SandboxConfig(tmp_path / "linked"), backend(name)).run("git log --format=%s; echo x > .git")
    assert outcome.output.startswith("first\n") and not outcome.ok


def test_the_environment_is_an_allow_list(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "GITHUB_TOKEN", "LD_PRELOAD_X", "SSH_AUTH_SOCK", "MY_SETTING", "GIT_DIR"):
        monkeypatch.setenv(variable, "leaked")
    monkeypatch.setenv("LC_TIME", "C")
    outcome = Sandbox(SandboxConfig(root), backend(name)).run("env", env={"MODE": "test"})
    assert "leaked" not in outcome.output
    assert "MODE=test\n" in outcome.output and "LC_TIME=C\n" in outcome.output


@pytest.mark.parametrize("variable", ["API_KEY", "github_token", "LD_PRELOAD", "DATABASE_URL", "GIT_DIR", "A=B"])
def test_secrets_are_not_handed_over(root: Path, variable: str) -> None:
    with pytest.raises(SandboxProblem, match="environment variable"):
        Sandbox(SandboxConfig(root), backend("outer")).run("true", env={variable: "x"})


@pytest.mark.parametrize("command", [[], ["a\0b"]])
def test_commands_that_are_none(root: Path, command: list[str]) -> None:
    with pytest.raises(SandboxProblem, match="at least one word"):
        Sandbox(SandboxConfig(root), backend("outer")).run(command)


def test_the_folder_must_be_in_the_tree(root: Path) -> None:
    with pytest.raises(SandboxProblem, match="no folder of the work tree"):
        Sandbox(SandboxConfig(root), backend("outer")).run("true", folder=Path(".."))


@pytest.mark.parametrize("path", ["/", "/home", "/etc", str(Path.home())])
def test_a_tree_must_be_a_project(path: str) -> None:
    with pytest.raises(SandboxProblem, match="cannot be handed"):
        Sandbox(SandboxConfig(Path(path)), backend("outer"))


def test_protected_paths_must_be_in_the_tree(root: Path) -> None:
    with pytest.raises(SandboxProblem, match="does not lie below"):
        Sandbox(SandboxConfig(root, protected=["../other"]), backend("outer"))


def test_a_repository_can_protect_more(root: Path) -> None:
    (root / "dovetail.toml").write_text('[sandbox]\nprotected = ["src"]\n')
    assert read_config(root, {}).protected == ("src",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[sandbox]\nouter = "container"', "sandbox.outer cannot be set there"),
        ('[sandbox]\nreadable = ["/home"]', "sandbox.readable cannot be set there"),
        ("[sandbox]\nprotected = 3", "must be a list"),
        ("sandbox = 3", "must be a table"),
        ("[sandbox", "cannot be read"),
    ],
)
def test_a_repository_cannot_open_the_sandbox(root: Path, text: str, message: str) -> None:
    (root / "dovetail.toml").write_text(text)
    with pytest.raises(SandboxProblem, match=message):
        read_config(root, {})


def test_outcomes_are_json(root: Path) -> None:
    outcome = Sandbox(SandboxConfig(root), backend("outer")).run("echo hello")
    assert json.loads(outcome.to_json())["output"] == "hello\n"


def test_orders_arrive_as_they_were_sent(tmp_path: Path) -> None:
    from dovetail.agent.sandbox.landlock import Rights
    from dovetail.agent.sandbox.launch import read_order

    order = Order(["a", "b\n"], {"X": "ü"}, "/", Limits(timeout=3), b"\0\xff", rights=Rights(["/usr"], ["/tmp"], []))
    file = tmp_path / "order"
    file.write_bytes(order.to_bytes())
    with open(file, "rb", buffering=0) as source:
        assert read_order(source.fileno()) == order


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filters_are_programs_whose_jumps_stay_inside(machine: str) -> None:
    everything = seccomp.Refusals(True, True, True, True, True, True, True)
    for refusals in (seccomp.Refusals(), everything, seccomp.Refusals(unix_sockets=True)):
        code = seccomp.program(refusals, machine)
        count = len(code) // 8
        assert len(code) % 8 == 0 and count < 4096
        for index in range(count):
            kind, yes, no = code[8 * index] & 7, code[8 * index + 2], code[8 * index + 3]
            if kind == 5:
                assert index + 1 + max(yes, no) < count
        assert code[-8] == 0x06


def test_system_calls_have_numbers_of_their_own() -> None:
    for machine in ("x86_64", "aarch64"):
        numbers = kernel.numbers(machine)
        assert len(set(numbers.values())) == len(numbers)
        wanted = set(seccomp.ALWAYS.split()) - set(numbers)
        assert wanted == (set() if machine == "x86_64" else {"modify_ldt", "iopl", "ioperm"})


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_head_and_tail(limit: int) -> None:
    text = bytes(range(97, 123)) * 3
    for size in (1, 5, 78):
        kept = HeadAndTail(limit)
        for start in range(0, len(text), size):
            kept.add(text[start : start + size])
        if limit >= len(text):
            assert kept.text() == text.decode() and not kept.dropped
        else:
            assert kept.dropped == len(text) - limit
            assert kept.text().startswith(text[: limit - limit // 2].decode() + "\n[...")
            assert kept.text().endswith("...]\n" + text[len(text) - limit // 2 :].decode())


def test_a_group_of_resources_is_made_where_the_user_may(tmp_path: Path) -> None:
    own = tmp_path / "user.slice" / "app.slice"
    inner = own / "terminal.scope"
    inner.mkdir(parents=True)
    for folder, controllers in ((tmp_path, "memory pids cpu"), (own, "memory pids"), (inner, "")):
        (folder / "cgroup.subtree_control").write_text(controllers)
        (folder / "cgroup.procs").write_text("")
    group = cgroup.make_group(1000, 10, tmp_path, "/user.slice/app.slice/terminal.scope")
    assert group is not None and group.parent == own
    assert (group / "memory.max").read_text() == "1000" and (group / "pids.max").read_text() == "10"
    (group / "memory.events").write_text("low 0\noom_kill 1\n")
    assert cgroup.join(group) and cgroup.out_of_memory(group)
    (own / "cgroup.subtree_control").write_text("cpu")
    (tmp_path / "cgroup.subtree_control").write_text("")
    assert cgroup.make_group(1000, 10, tmp_path, "/user.slice/app.slice/terminal.scope") is None
