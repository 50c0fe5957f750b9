"""The body of POST /v1/edits, and what makes it unusable. Our own endpoint: unknown fields are refused. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from dovetail.serve.api.http.fields import not_available
from dovetail.serve.api.sampling import SamplingFields
from dovetail.serve.api.security.fields import SecurityField
from dovetail.serve.edit.formats.registry import FORMATS, without_words
from dovetail.serve.edit.paths import path_fault
from dovetail.serve.edit.protected import protected_lines
from dovetail.serve.errors import UserError
from dovetail.serve.types import EditFormat, FileOperation, ProtectedLines, SourceFile, SyntaxGating

MAX_PATH_CHARACTERS = 1024

_MARKER_LIKE = re.compile(r"<{7}|={7}|>{7}")
ENDING_FIELDS = ("stop", "stop_token_ids", "ignore_eos", "min_tokens")
"""Sampling fields that decide where an output ends: here the constraint decides that."""


class EditFile(BaseModel):
    """One file that may change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    path: str
    content: str


class ProtectedRange(BaseModel):
    """Lines of a file that no edit may touch, counted from 1, both included."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    path: str
    first_line: Annotated[int, Field(ge=1)]
    last_line: Annotated[int, Field(ge=1)]


class EditRules(BaseModel):
    """The files that edits are about, their format and their rules: all of an edit request but the instruction."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    files: Annotated[list[EditFile], Field(min_length=1)]
    format: EditFormat = "blocks"
    syntax: SyntaxGating = "each"
    protected: list[ProtectedRange] | None = None
    operations: list[FileOperation] | None = None
    policy: dict[str, Any] | None = None
    trace: bool | None = None


class EditsBody(EditRules, SamplingFields):
    """An instruction and the files it is about; the format and the rules of the edits."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    instruction: str
    security: SecurityField | None = None
    model: str | None = None
    stream: bool | None = None


def check_instruction(text: str, param: str) -> None:
    """Raise a UserError if nothing is said."""
    if not text.strip():
        _refuse(param, "is empty; say what to change", "invalid_value")


def refuse_endings(fields: SamplingFields) -> None:
    """Raise a UserError for a sampling field that decides where an output ends."""
    for name in ENDING_FIELDS:
        if getattr(fields, name):
            raise not_available(name)


def check_rules(rules: EditRules) -> tuple[SourceFile, ...]:
    """The files, if everything about them and their rules is usable; a UserError that names the item otherwise."""
    missing = [each for each in rules.operations or () if each not in FORMATS[rules.format].operations]
    if missing:
        _refuse("operations", f"asks to {missing[0]} files, {without_words(rules.format, missing[0])}", "invalid_value")
    files = check_files(rules.files)
    check_protected(files, rules.protected)
    return files


def check_files(given: Sequence[EditFile]) -> tuple[SourceFile, ...]:
    """The files, if their paths and contents are usable; a UserError that names the item otherwise."""
    first: dict[str, int] = {}
    for index, file in enumerate(given):
        _check_path(file.path, f"files[{index}].path")
        if file.path in first:
            _refuse(f"files[{index}].path", f"{file.path!r} is also files[{first[file.path]}].path", "duplicate_path")
        first[file.path] = index
        if "\0" in file.content:
            _refuse(f"files[{index}].content", "holds a NUL character: binary files cannot be edited", "binary_content")
    return tuple(SourceFile(file.path, file.content) for file in given)


def check_protected(files: Sequence[SourceFile], ranges: Sequence[ProtectedRange] | None) -> tuple[ProtectedLines, ...]:
    """The protected lines, if each is a range of a given file's lines; a UserError that names the item otherwise."""
    protected = tuple((each.path, each.first_line, each.last_line) for each in ranges or ())
    paths = {file.path for file in files}
    for index, (path, _, _) in enumerate(protected):
        if path not in paths:
            _refuse(f"protected[{index}].path", f"{path!r} is none of the given files", "invalid_value")
    for file in files:
        protected_lines(file, protected)
    return protected


def _check_path(path: str, param: str) -> None:
    if len(path) > MAX_PATH_CHARACTERS:
        _refuse_path(param, f"is longer than {MAX_PATH_CHARACTERS} characters")
    fault = path_fault(path)
    if fault is not None:
        _refuse_path(param, fault)
    if _MARKER_LIKE.match(path):
        _refuse_path(param, "begins like a marker line of an edit block")


def _refuse_path(param: str, what: str) -> NoReturn:
    _refuse(param, what, "invalid_path")


def _refuse(param: str, what: str, code: str) -> NoReturn:
    raise UserError(f"{param} {what}.", code=code, param=param)
