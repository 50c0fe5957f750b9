"""No containment of its own: for an owner who says that everything here already runs in a sandbox."""

from __future__ import annotations

from pathlib import Path

from dovetail.agent.sandbox import kernel, seccomp
from dovetail.agent.sandbox.backend import Run
from dovetail.agent.sandbox.environment import environment
from dovetail.agent.sandbox.launch import Order


class Outer:
    """Runs commands with limits, a clean environment and nothing to gain, but with the user's own view of files."""

    def __init__(self, declared: str) -> None:
        self.name = f"none here: the owner declares an outer sandbox ({declared})"

    gaps = (
        "Files outside the work tree, protected paths, the network and other processes "
        "are as open as the outer sandbox leaves them.",
    )

    def order(self, run: Run) -> Order:
        """The command as it is, watched."""
        home, temporary = run.private / "home", run.private / "tmp"
        for folder in (home, temporary):
            folder.mkdir(exist_ok=True)
        return Order(
            command=list(run.command),
            environment=environment(run.outside, [Path("/")], home, temporary, run.extra),
            folder=str(run.folder),
            limits=run.limits,
            filter=seccomp.program(seccomp.Refusals()) if kernel.known_machine() else b"",
        )
