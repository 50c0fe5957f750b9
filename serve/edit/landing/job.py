"""Finished edits, the files and the rules; and what comes of them. Judged here in one go; what may take long is announced.

Knows no process: where this runs in one of its own, its ``Stages`` say what would be to blame for its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.edit.apply import Applied, Judge, apply_edits
from dovetail.serve.edit.block import Edits
from dovetail.serve.edit.policing import findings_of
from dovetail.serve.edit.policy.combine import Policy, policy_of
from dovetail.serve.errors import UserError
from dovetail.serve.types import Finding, ProtectedLines, SourceFile, Syntax, SyntaxGating

Stage = Literal["given", "result", "policy"]
"""What is being parsed: a file as it was given, as edits leave it, or all of it for a policy."""


class Job(msgspec.Struct, frozen=True, kw_only=True, tag="job"):
    """What is to be judged. ``policy``: its documents. ``unchecked``: files whose syntax nobody can judge, and why."""

    files: tuple[SourceFile, ...]
    edits: Edits
    syntax: SyntaxGating = "each"
    protected: tuple[ProtectedLines, ...] = ()
    policy: tuple[str, ...] = ()
    unchecked: dict[str, str] = {}


class Landing(msgspec.Struct, frozen=True, kw_only=True, tag="landing"):
    """What comes of a job whose edits apply. ``syntax``: which parser vouches for each file. ``refused``, ``reported``: what the
    policy found.
    """

    changed: tuple[SourceFile, ...]
    patch: str
    syntax: dict[str, Syntax]
    unchecked: dict[str, str]
    refused: tuple[Finding, ...] = ()
    reported: tuple[Finding, ...] = ()


class Stages:
    """Told what is begun with. Here: nobody listens."""

    @contextmanager
    def stage(self, path: str, stage: Stage, size: int) -> Iterator[None]:
        """While a text of ``size`` bytes is parsed."""
        yield


class _Gates:
    """The gates of one job, each opened once."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._opened: dict[tuple[str, bytes], SyntaxGate] = {}

    def __call__(self, path: str, original: bytes) -> Judge:
        gate = self.opened(path, original)

        def holds(changes: list[Change]) -> bool:
            size = len(original) + sum(len(change.replacement) for change in changes)
            with self._stages.stage(path, "result", size):
                return gate.holds(changes)

        return holds

    def opened(self, path: str, original: bytes) -> SyntaxGate:
        """The gate of a text, ready to be asked."""
        key = path, original
        if key not in self._opened:
            with self._stages.stage(path, "given", len(original)):
                self._opened[key] = SyntaxGate(path, original)
                self._opened[key].prepare()
        return self._opened[key]


def landed(job: Job, stages: Stages | None = None) -> Landing:
    """Apply and judge.

    Raises:
        EditError: as apply_edits.
        UserError: the policy would have to read a file that cannot be read.
    """
    stages = stages if stages is not None else Stages()
    gates = _Gates(stages)
    policy = policy_of(job.policy) if job.policy else None
    protected = job.protected + (policy.protected_lines(job.files) if policy is not None else ())
    after = apply_edits(
        job.files, job.edits, syntax=job.syntax, protected=protected, gates=gates, unchecked=job.unchecked
    )
    found: list[Finding] = []
    if policy is not None:
        touched = [old for old, new in after.pairs if old is not None and old != new]
        refuse_unread(policy, job.unchecked, touched)
        with stages.stage("", "policy", sum(len(file.content) for file in (*touched, *after.changed))):
            found = findings_of(policy, after)
    return Landing(
        changed=after.changed,
        patch=after.patch,
        syntax=_syntax_by_path(after, job, gates),
        unchecked={file.path: job.unchecked[file.path] for file in job.files if file.path in job.unchecked},
        refused=tuple(each for each in found if each.mode == "refuse"),
        reported=tuple(each for each in found if each.mode == "report"),
    )


def read(files: tuple[SourceFile, ...], stages: Stages) -> None:
    """Parse the files as a judgement would."""
    gates = _Gates(stages)
    for file in files:
        gates.opened(file.path, file.content.encode())


def refuse_unread(policy: Policy, unchecked: dict[str, str], files: list[SourceFile]) -> None:
    """Raise a UserError if ``policy`` has to read a file that is ``unchecked``."""
    for file in files:
        if file.path in unchecked and policy.parses(file.path):
            raise UserError(
                f"{file.path!r} cannot be checked against the policy: {unchecked[file.path]}. Leave the file out.",
                code="unreadable_file",
                param="files",
            )


def _syntax_by_path(after: Applied, job: Job, gates: _Gates) -> dict[str, Syntax]:
    """Which parser vouches for each file, by the path it was given with, or is created at."""
    found: dict[str, Syntax] = {}
    for old, new in after.pairs:
        file = old or new
        assert file is not None
        off = job.syntax == "off" or file.path in job.unchecked
        content = old.content if old is not None else ""
        found[file.path] = "off" if off else gates.opened(file.path, content.encode()).syntax
    return found
