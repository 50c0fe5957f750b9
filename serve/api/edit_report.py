"""The answer of /v1/edits from a finished output: checked once more, independently of the engine, and reported."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from dovetail.serve.api.generation import Output
from dovetail.serve.api.logprobs import LEAST
from dovetail.serve.api.served import TextCodec
from dovetail.serve.edit.apply import apply_blocks, syntax_of
from dovetail.serve.edit.block import Block, EditError
from dovetail.serve.edit.parse import parse_blocks
from dovetail.serve.edit.patch import unified_diff
from dovetail.serve.errors import EngineError
from dovetail.serve.types import ConstraintReport, Markers, Origin, SourceFile, Syntax

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

ORIGINS: tuple[Origin, ...] = ("sampled", "drafted", "forced", "resampled")


@dataclass(frozen=True)
class Landed:
    """Edits that passed the check: the blocks, and the files that they change."""

    blocks: tuple[Block, ...]
    changed: tuple[SourceFile, ...]
    patch: str
    syntax: dict[str, Syntax]


class GuaranteeViolated(EngineError):
    """An output broke the promise of /v1/edits: a bug here, caught before it reached a client."""

    default_status = 500
    default_code = "guarantee_violated"


def violation(error: EditError) -> GuaranteeViolated:
    """What a client is told of an output that is no valid edit; the log has the rest."""
    log.error("guarantee violated", reason=error.reason, message=error.message)
    return GuaranteeViolated(
        f"The output was no valid edit and is not returned: {error.message} "
        "This is a defect of the server; please report it."
    )


def land(text: str, files: Sequence[SourceFile], markers: Markers) -> Landed:
    """Apply an output to the files. Trusts nothing that the constraint did."""
    try:
        blocks = tuple(parse_blocks(text, files, markers))
        after = apply_blocks(files, blocks)
    except EditError as error:
        raise violation(error) from error
    pairs = list(zip(files, after, strict=True))
    return Landed(
        blocks=blocks,
        changed=tuple(new for old, new in pairs if new.content != old.content),
        patch="".join(unified_diff(old, new) for old, new in pairs),
        syntax={file.path: syntax_of(file.path, file.content) for file in files},
    )


def edit_of(block: Block) -> dict[str, Any]:
    """One entry of ``edits``."""
    return {
        "path": block.path,
        "search": block.search,
        "replace": block.replace,
        "start_line": block.start_line,
        "end_line": block.end_line,
    }


def constraint_of(output: Output, landed: Landed) -> dict[str, Any]:
    """What the constraint did, and how the tokens of the final output came to be."""
    report = output.constraint or ConstraintReport()
    origins = Counter(output.origins)
    return {
        "min_z": report.min_z,
        "sum_log_z": max(report.sum_log_z, LEAST),
        "rollbacks": report.rollbacks,
        "forced": report.forced,
        "resampled": report.resampled,
        "drafted": output.usage.drafted,
        "accepted": output.usage.accepted,
        "truncated": report.truncated,
        "syntax": landed.syntax,
        "origins": {origin: origins[origin] for origin in ORIGINS},
    }


def trace_of(codec: TextCodec, output: Output) -> list[dict[str, str]]:
    """The final output token by token; a character of several tokens is shown with the last of them."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    traced = []
    for token, origin in zip(output.tokens, output.origins, strict=True):
        text = decoder.decode(codec.token_bytes(token) or b"")
        traced.append({"text": text, "origin": origin})
    return traced
