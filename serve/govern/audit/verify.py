"""Checks chains offline: every record in order, in files or in a shared table, and the anchor. Names the first bad record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from dovetail.serve.govern.audit.anchor import Anchor, AnchorProblem, Seal, read_anchor
from dovetail.serve.govern.audit.chain import BrokenLine, Link, follow, record_of
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.shared_reading import Row, SharedAnchor, SharedLogs

MAX_LINE = 64 * 1024 * 1024
_MS = 1.5
"""A record's time is written in whole milliseconds."""


@dataclass(frozen=True)
class Verdict:
    """``problem`` None: the chain is whole. ``notes``: what is no harm by itself, but worth knowing."""

    records: int
    segments: int
    problem: str | None = None
    notes: tuple[str, ...] = ()


class Lines(Protocol):
    """A file, or what is read like one."""

    def readline(self, size: int, /) -> bytes:
        """The next line with its line feed; nothing at the end."""


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


def verify_files(files: Iterable[tuple[str, Lines]], anchor: Anchor | None) -> Verdict:
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


def verify_shared(
    url: str, name: str | None = None, seal: Seal | None = None, outside: Path | None = None
) -> dict[str, Verdict]:
    """The verdict on every chain in a database, or on one; ``outside``: the file of one's anchor. Raises StoreError."""
    with SharedLogs(url) as logs:
        anchors = logs.anchors()
        verdicts = {
            stray: Verdict(0, 1, "it has records, and its row in audit_chains is missing")
            for stray in logs.strays()
            if name in (None, stray)
        }
        for chain, anchor in anchors.items():
            if name in (None, chain):
                verdicts[chain] = _shared_verdict(logs, anchor, seal)
        if outside is not None and name in verdicts and verdicts[name].problem is None:
            problem = _unlike_outside(logs, anchors[name], outside, seal)
            verdicts[name] = replace(verdicts[name], problem=problem)
    return dict(sorted(verdicts.items()))


def _shared_verdict(logs: SharedLogs, stands: SharedAnchor, seal: Seal | None) -> Verdict:
    anchor = stands.anchor
    rows = _RowLines(logs.of_chain(anchor.name), anchor.count)
    verdict = verify_files([("audit_records", rows)], anchor)
    if verdict.problem is not None:
        return verdict
    if stands.records > anchor.count:
        what = f"the row in audit_chains has {anchor.count} records, and the table {stands.records}: the rest was added"
        return replace(verdict, problem=f"record {anchor.count}: {what}")
    if rows.misdated is not None:
        return replace(verdict, problem=f"record {rows.misdated}: its row says another time than the record")
    if seal is not None and anchor.count and not seal.fits(anchor):
        return replace(
            verdict, problem="its row in audit_chains was not sealed with this key: it was changed, or the key"
        )
    return verdict


def _unlike_outside(logs: SharedLogs, stands: SharedAnchor, file: Path, seal: Seal | None) -> str | None:
    """What is wrong by the anchor outside the database; None: nothing."""
    chain = stands.anchor
    try:
        anchor = read_anchor(file, chain.name, seal)
    except FileNotFoundError:
        return f"the anchor {file} is missing"
    except AnchorProblem as error:
        return str(error)
    return verify_files([("audit_records", _RowLines(logs.of_chain(chain.name), chain.count))], anchor).problem


class _RowLines:
    """The first ``count`` rows of a chain, read as a file is. ``misdated``: the first that is kept under another time than its own."""

    def __init__(self, rows: Iterator[Row], count: int) -> None:
        self._rows = islice(rows, count)
        self.misdated: int | None = None

    def readline(self, size: int, /) -> bytes:
        row = next(self._rows, None)
        if row is None:
            return b""
        if self.misdated is None and not _is_dated(row):
            self.misdated = row.seq
        return row.line + b"\n"


def _is_dated(row: Row) -> bool:
    try:
        told = datetime.fromisoformat(str(record_of(row.line)["time"]))
    except (msgspec.DecodeError, KeyError, ValueError):
        return True  # no record at all, which is found otherwise
    return abs(told.timestamp() * 1000 - row.at_ms) < _MS
