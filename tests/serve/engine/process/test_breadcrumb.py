"""Notes that outlive the process that wrote them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dovetail.serve.engine.process.breadcrumb import Breadcrumb, beside, last_note

CRASHING = """
import os, signal, sys
from pathlib import Path
from dovetail.serve.engine.process.breadcrumb import Breadcrumb
crumb = Breadcrumb(Path(sys.argv[1]))
crumb.note("r1: blocks of a.sh")
os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_note_is_there_after_a_crash(tmp_path: Path) -> None:
    path = beside(f"ipc://{tmp_path}/engine-0.sock")
    done = subprocess.run([sys.executable, "-c", CRASHING, str(path)], check=False)
    assert done.returncode < 0
    assert last_note(path) == "r1: blocks of a.sh"


def test_notes_replace_each_other_and_are_cut(tmp_path: Path) -> None:
    crumb = Breadcrumb(tmp_path / "n.note")
    crumb.note("x" * 5000)
    assert set(last_note(tmp_path / "n.note")) == {"x"}
    crumb.note("")
    assert last_note(tmp_path / "n.note") == ""


def test_no_note_is_an_empty_one(tmp_path: Path) -> None:
    assert last_note(tmp_path / "none") == ""
