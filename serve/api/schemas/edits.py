"""Answers of /v1/edits and /v1/edits/apply, and the typed events of a streamed edit."""

from __future__ import annotations

from typing import Literal

from pydantic import RootModel

from dovetail.serve.api.schemas.shared import PolicyFinding, SecurityReport, TokenUsage, Wire
from dovetail.serve.types import Decided, EditFormat, FileOperation, Origin, Syntax


class Edit(Wire):
    """Lines of a file (``search``, from ``start_line`` to ``end_line``, counted from 1) and what stands there instead."""

    path: str
    search: str
    replace: str
    start_line: int
    end_line: int


class WholeFileOperation(Wire):
    """A file that is created with ``content``, deleted, or renamed to ``to``."""

    kind: FileOperation
    path: str
    content: str | None = None
    to: str | None = None


class ChangedFile(Wire):
    """A file as it is after the edits."""

    path: str
    content: str


class OriginCounts(Wire):
    """How many tokens came which way."""

    sampled: int
    drafted: int
    forced: int
    resampled: int


class ConstraintReport(Wire):
    """What the constraint did. ``min_z``, ``sum_log_z``: the probability mass that it left, at the worst step and in all.
    ``syntax``: by file, which parser vouches for it; ``unchecked``: files that none could, and why."""

    min_z: float | None
    sum_log_z: float | None
    rollbacks: int
    forced: int
    resampled: int
    drafted: int
    accepted: int
    truncated: bool
    overruled: int
    distorted: bool | None
    syntax: dict[str, Syntax]
    unchecked: dict[str, str] | None = None
    origins: OriginCounts


class PolicyDecision(Wire):
    """A rule, and when it was asked: while decoding, when a block wanted to end, or afterwards."""

    rule: str
    when: Decided


class PolicyReport(Wire):
    """The documents that held, what each part decided where, the files that were closed, and what was found."""

    digest: str
    documents: list[str]
    decided: list[PolicyDecision]
    closed: list[str]
    findings: list[PolicyFinding]
    refused: list[PolicyFinding] | None = None
    limits: str


class TracedToken(Wire):
    """A token of the output: its text, how it came, and how likely the model found it before the constraint."""

    text: str
    origin: Origin
    probability: float | None = None


class EditReport(Wire):
    """Edits that fit. ``patch`` is what `git apply` takes; ``tokens`` comes with ``trace``."""

    format: EditFormat
    edits: list[Edit]
    operations: list[WholeFileOperation]
    files: list[ChangedFile]
    patch: str
    constraint: ConstraintReport
    policy: PolicyReport | None = None
    tokens: list[TracedToken] | None = None


class EditAnswer(EditReport):
    """An answer of /v1/edits. ``text`` is the output in the format that was asked for."""

    id: str
    object: Literal["edits"]
    created: int
    model: str
    system_fingerprint: str | None
    text: str
    finish_reason: Literal["stop", "length", "content_filter"]
    usage: TokenUsage
    security: SecurityReport | None = None
    refusal: str | None = None


class AppliedEdits(Wire):
    """What a text of edits makes of the files; ``text`` where ``render`` was asked for."""

    id: str
    object: Literal["edits.applied"]
    format: EditFormat
    edits: list[Edit]
    operations: list[WholeFileOperation]
    files: list[ChangedFile]
    patch: str
    syntax: dict[str, Syntax]
    unchecked: dict[str, str] | None = None
    policy: PolicyReport | None = None
    text: str | None = None


class BlockMarkers(Wire):
    """The marker lines of the output's blocks."""

    search: str
    divider: str
    replace: str


class EditsStarted(Wire):
    """The first event; ``markers`` with ``trace``."""

    type: Literal["edits.started"]
    id: str
    object: Literal["edits"]
    created: int
    model: str
    system_fingerprint: str | None
    markers: BlockMarkers | None = None


class EditStarted(Wire):
    """An edit of a file begins."""

    type: Literal["edit.started"]
    index: int
    path: str


class EditDelta(Wire):
    """More of the lines that are replaced, or of what replaces them."""

    type: Literal["edit.search.delta", "edit.replace.delta"]
    index: int
    delta: str


class EditDone(Wire):
    """An edit is complete."""

    type: Literal["edit.done"]
    index: int
    edit: Edit


class EditRollback(Wire):
    """Something is taken back: this much stays."""

    type: Literal["edit.rollback"]
    keep_edits: int
    open: bool
    keep_search_chars: int
    keep_replace_chars: int


class EditTextDelta(Wire):
    """More of the output, in formats that are not taken apart while they grow."""

    type: Literal["edits.text.delta"]
    delta: str


class EditTextRollback(Wire):
    """This many characters of the output stay."""

    type: Literal["edits.text.rollback"]
    keep_chars: int


class EditTokens(Wire):
    """With ``trace``: the tokens that came."""

    type: Literal["edits.tokens"]
    tokens: list[TracedToken]


class EditTokensRollback(Wire):
    """With ``trace``: this many tokens stay."""

    type: Literal["edits.tokens.rollback"]
    keep_tokens: int


class EditFault(Wire):
    """What went wrong, as in the body of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class EditsFailed(Wire):
    """The last event of a stream that failed."""

    type: Literal["error"]
    error: EditFault


class EditsCompleted(EditAnswer):
    """The last event: the whole answer."""

    type: Literal["edits.completed"]


class EditEvent(
    RootModel[
        EditsStarted
        | EditStarted
        | EditDelta
        | EditDone
        | EditRollback
        | EditTextDelta
        | EditTextRollback
        | EditTokens
        | EditTokensRollback
        | EditsCompleted
        | EditsFailed
    ]
):
    """The data of each event of a stream."""
