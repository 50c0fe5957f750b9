"""Attempts to get out, really made, under every backend that works on this machine."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import escape_probes
import pytest
from escape_world import Seen, backend, probe

from dovetail.agent.sandbox.config import SandboxConfig
from dovetail.agent.sandbox.sandbox import Sandbox

ROOT = Path(__file__).parents[3]
NAMES = ("bubblewrap", "landlock", "landlock-4", "landlock-1")
OTHER_USER = 65534
PYTHON = "/usr/bin/python3"

# What the probes reach without containment, on any machine: they can find a hole where there is one.
REACHABLE = (
    "read_a_file_of_the_user write_outside list_the_home_of_the_user tcp_to_the_machine udp_to_the_machine "
    "unix_socket_of_the_machine abstract_socket_of_the_machine write_a_hook datagram_pair_pointed_elsewhere "
    "plant_a_tool delete_the_policy rename_the_folder_of_a_protected_file delete_outside end_a_process_outside"
)


def why_not(name: str) -> str:
    """Why a backend cannot be tried on this machine; empty if it can."""
    chosen = backend(name)
    if name.startswith("landlock-") and chosen.version != int(name[9:]):  # type: ignore[attr-defined]
        return f"this kernel's Landlock is older than {name[9:]}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        root.mkdir()
        return Sandbox(SandboxConfig(root), chosen).trial()


@pytest.fixture(scope="module", params=NAMES)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    reason = why_not(request.param)
    if reason:
        pytest.skip(f"{request.param} cannot run here: {reason}")
    return probe(request.param, tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", escape_probes.PROBES)
def test_contained(seen: Seen, name: str) -> None:
    assert seen.probes[name].startswith("contained: "), seen.outcome.containment


def test_nothing_outside_is_different_afterwards(seen: Seen) -> None:
    assert seen.outcome.ok, seen.outcome.output[-2000:]
    assert seen.damage == []


def test_the_probes_find_holes_where_there_are_some(tmp_path: Path) -> None:
    found = probe("outer", tmp_path, REACHABLE.split())
    assert [name for name, text in found.probes.items() if not text.startswith("ESCAPED")] == []
    assert len(found.damage) >= 5 and "declares an outer sandbox" in found.outcome.containment


@pytest.fixture
def folder_of_another_user() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dt-user-", dir="/tmp"))
    os.chown(folder, OTHER_USER, OTHER_USER)
    yield folder
    shutil.rmtree(folder)


def why_no_other_user() -> str:
    if os.getuid():
        return "the tests already run without root's rights"
    if not shutil.which("setpriv") or not os.access(PYTHON, os.X_OK):
        return "setpriv or a Python of the system is missing"
    version = [PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if subprocess.run(version, check=False).returncode:
        return "the system's Python is older than 3.11"
    closed = [path for path in (ROOT, *ROOT.parents) if not path.stat().st_mode & stat.S_IXOTH]
    return f"{closed[0]} is closed to other users" if closed else ""


@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_contained_for_a_user_without_rights(name: str, folder_of_another_user: Path) -> None:
    reason = why_no_other_user() or why_not(name)
    if reason:
        pytest.skip(f"cannot be tried as another user: {reason}")
    program = [PYTHON, str(Path(__file__).parent / "escape_world.py"), name, str(folder_of_another_user)]
    user = [f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups", "--inh-caps=-all"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["setpriv", *user, *program], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["probes"]) == len(escape_probes.PROBES)
    assert [name for name, text in result["probes"].items() if not text.startswith("contained: ")] == []
    assert result["damage"] == []


def test_this_python_is_seen_inside(tmp_path: Path) -> None:
    sandbox = _any(tmp_path)
    outcome = sandbox.run([sys.executable, "-c", "import sys, json; print(sys.version_info[:2])"])
    assert outcome.ok and str(sys.version_info[:2]) in outcome.output


def _any(root: Path) -> Sandbox:
    for name in NAMES:
        if not why_not(name):
            return Sandbox(SandboxConfig(root), backend(name))
    pytest.skip("no backend runs here")
