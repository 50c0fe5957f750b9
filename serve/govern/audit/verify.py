"""Checks a chain offline: every record of every segment in order, and the anchor. Names the first bad record."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from dovetail.serve.govern.audit.anchor import Anchor, AnchorProblem, Seal, read_anchor
from dovetail.serve.govern.audit.chain import BrokenLine, Link, follow
from dovetail.serve.govern.audit.settings import AuditSettings

MAX_LINE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Verdict:
    """``problem`` None: the chain is whole. ``notes``: what is no harm by itself, but worth knowing."""

    records: int
    segments: int
    problem: str | None = None
    notes: tuple[str, ...] = ()


def verify(settings: AuditSettings, seal: Seal | None = None, *, anchored: bool = True) -> Verdict:
    """The verdict on a chain's files. Raises OSError where they cannot be read."""
    with ExitStack() as stack:
        files = [(path.name, stack.enter_context(path.open("rb"))) for path in settings.segments()]
        anchor, problem = None, None
        if anchored:
            try:
                anchor = read_anchor(settings.anchor_file, settings.name, seal)
            except FileNotFoundError:
                problem = (
                    f"the anchor {settings.anchor_file} is missing: records cut off at the end would not be missed"
                )
            except AnchorProblem as error:
                problem = str(error)
        verdict = verify_files(files, anchor)
    if problem is None or verdict.problem is not None:
        return verdict
    return Verdict(verdict.records, verdict.segments, problem, verdict.notes)


def verify_files(files: Iterable[tuple[str, BinaryIO]], anchor: Anchor | None) -> Verdict:
    """The verdict on segments, oldest first."""
    link, segments = Link(), 0
    torn: str | None = None
    before = anchor.link if anchor is not None else Link()
    reached = before.count == 0
    for name, file in files:
        segments += 1
        if torn is not None:
            return Verdict(link.count, segments, torn)
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            where = f"{name}, line {number}"
            if not line.endswith(b"\n"):
                torn = f"{where}: its end is missing, as after a crash"
                continue
            try:
                link = follow(line[:-1], link)
            except BrokenLine as error:
                return Verdict(link.count, segments, f"{where} (record {link.count}): {error}")
            if link.count == before.count:
                reached = True
                if link != before:
                    return Verdict(
                        link.count, segments, f"{where} (record {link.count - 1}): the anchor has another hash for it"
                    )
    return _judged(link, segments, torn, anchor, reached)


def _judged(link: Link, segments: int, torn: str | None, anchor: Anchor | None, reached: bool) -> Verdict:
    if anchor is not None and not reached:
        missing = anchor.count - link.count
        what = f"the anchor has {anchor.count} records, and the log {link.count}: {missing} at the end are missing"
        return Verdict(link.count, segments, f"record {link.count}: {what}")
    notes = []
    if anchor is not None and link.count > anchor.count:
        if anchor.closed:
            what = f"the log was closed after {anchor.count} records, but has {link.count}: the rest was added later"
            return Verdict(link.count, segments, f"record {anchor.count}: {what}")
        notes.append(f"{link.count - anchor.count} records are newer than the anchor")
    if torn is not None and anchor is not None and anchor.closed:
        return Verdict(link.count, segments, torn)
    if torn is not None:
        notes.append(f"{torn}; the server takes it away at its next start, and says so in a record")
    if anchor is None:
        notes.append("no anchor was looked at: records cut off at the end are not missed")
    return Verdict(link.count, segments, None, tuple(notes))
