"""A policy document: its keys, read from TOML or from a request, with errors that name the key. Judges no edit.

Every key only takes away. A document that says nothing allows everything.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dovetail.serve.constrain.syntax.languages import LANGUAGES
from dovetail.serve.edit.policy.paths import Glob, GlobError
from dovetail.serve.errors import UserError
from dovetail.serve.types import Mode, Severity

FindingsMode = Literal["refuse", "block", "report"]
_Count = Annotated[int, Meta(ge=0, le=1_000_000)]
_LineNumber = Annotated[int, Meta(ge=1, le=10_000_000)]
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")]
_Text = Annotated[str, Meta(min_length=1, max_length=500)]
_Hint = Annotated[str, Meta(max_length=500)]
_Names = Annotated[tuple[_Text, ...], Meta(min_length=1, max_length=500)]
_Globs = Annotated[tuple[_Text, ...], Meta(max_length=500)]
_Cwe = Annotated[str, Meta(pattern=r"^CWE-[0-9]{1,5}$")]
_TEXTS_AT_MOST = 5_000
"""Globs and names of a request's document, all together: they are tried one by one where other requests wait."""

_DEEPEST = re.compile(r" - at `\$\.?([^`]*)`$")


class Paths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which files may change. ``create``: where files may be made or moved to; None: as ``allow``."""

    allow: _Globs = ("**",)
    protect: _Globs = ()
    create: _Globs | None = None


class ProtectedRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines that no edit touches in the files that ``path`` matches; those beyond a file's end are none."""

    path: _Text
    first_line: _LineNumber
    last_line: _LineNumber


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one answer may change: files, and lines (added and removed ones together)."""

    files: _Count | None = None
    changed_lines: _Count | None = None
    changed_lines_per_file: _Count | None = None


class ImportRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files under ``paths`` may not newly import ``forbid``, but for ``unless``."""

    id: _Name
    paths: _Globs
    forbid: _Names
    unless: _Globs = ()
    message: _Text = "This import is not allowed here."
    severity: Severity = "high"
    cwe: _Cwe | None = None
    mode: Mode = "refuse"


class CallRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """New text under ``paths`` may not call what is written like one of ``forbid``; ``*`` is any text."""

    id: _Name
    forbid: _Names
    paths: _Globs = ("**",)
    languages: tuple[str, ...] = ()
    message: _Text = "This call is not allowed here."
    severity: Severity = "high"
    cwe: _Cwe | None = None
    mode: Mode = "refuse"


class PatternRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tree-sitter query whose ``@match`` new text under ``paths`` may not hold.

    ``bad`` and ``good``: code that it has to find, and must not; checked when the document is read. ``fix``: what to write instead.
    """

    id: _Name
    languages: Annotated[tuple[str, ...], Meta(min_length=1)]
    query: Annotated[str, Meta(min_length=1, max_length=10_000)]
    message: _Text
    severity: Severity = "high"
    cwe: _Cwe | None = None
    paths: _Globs = ("**",)
    mode: Mode = "refuse"
    bad: tuple[str, ...] = ()
    good: tuple[str, ...] = ()
    fix: _Hint = ""


class FindingRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules by pack, group, CWE or id, less those ``without``.

    ``mode``: ``refuse`` keeps edits from having any while they are decoded; ``block`` withholds an answer that has one;
    ``report`` tells of them. In a chat, where nothing is held to files, ``refuse`` is ``block``.
    """

    rules: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    mode: FindingsMode = "report"


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files of which no exported name or signature may change or go."""

    freeze: _Globs = ()


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One policy document."""

    version: Literal[1] = 1
    paths: Paths = Paths()
    protected: Annotated[tuple[ProtectedRange, ...], Meta(max_length=500)] = ()
    limits: Limits = Limits()
    imports: Annotated[tuple[ImportRule, ...], Meta(max_length=200)] = ()
    calls: Annotated[tuple[CallRule, ...], Meta(max_length=200)] = ()
    patterns: Annotated[tuple[PatternRule, ...], Meta(max_length=200)] = ()
    findings: FindingRules = FindingRules()
    api: Api = Api()

    @property
    def text(self) -> str:
        """The document in the one form that stands for it: the same for documents that say the same."""
        return msgspec.json.encode(self).decode()

    @property
    def digest(self) -> str:
        """Names the document."""
        return "sha256:" + hashlib.sha256(self.text.encode()).hexdigest()


class PolicyError(UserError):
    """A policy document that cannot be used; ``param`` is the key at fault."""

    default_code = "invalid_policy"


def unusable(key: str, what: str) -> PolicyError:
    """The error of one key."""
    return PolicyError(f"Policy: {key}: {what}.", param=f"policy.{key}")


def read_policy(file: Path) -> Document:
    """The document in a TOML file.

    Raises:
        PolicyError: it cannot be read, is no TOML, or has a key that cannot be used.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(f"The policy {file} cannot be read: {error.strerror}.", param="policy") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"The policy {file} is not valid TOML: {error}.", param="policy") from error
    return parse_policy(table)


def request_policy(table: Mapping[str, Any]) -> Document:
    """The document of a request. Queries are refused: they are programs, and a request's could run for ever.

    Raises:
        PolicyError: as parse_policy; or it holds patterns, or too much.
    """
    document = parse_policy(table)
    if document.patterns:
        raise unusable(
            "patterns", "only the server's own policy may hold queries; use findings.rules, calls or imports"
        )
    rules: list[ImportRule | CallRule] = [*document.imports, *document.calls]
    if sum(len(rule.paths) + len(rule.forbid) for rule in rules) > _TEXTS_AT_MOST:
        raise unusable(
            "imports", f"these rules and those of calls hold more than {_TEXTS_AT_MOST} globs and names in all"
        )
    return document


def parse_policy(table: Mapping[str, Any]) -> Document:
    """The document that a table says, checked but for its queries and rule packs (patterns.py and rules.py do that).

    Raises:
        PolicyError: naming the first key that cannot be used.
    """
    try:
        document = msgspec.convert(table, Document)
    except msgspec.ValidationError as error:
        raise _told(str(error)) from error
    _check_globs(document)
    for index, each in enumerate(document.protected):
        if each.last_line < each.first_line:
            raise unusable(f"protected[{index}].last_line", f"{each.last_line} is before first_line, {each.first_line}")
    seen: set[str] = set()
    for section in ("imports", "calls", "patterns"):
        for index, rule in enumerate(getattr(document, section)):
            if rule.id in seen:
                raise unusable(f"{section}[{index}].id", f"{rule.id!r} is the id of two rules")
            seen.add(rule.id)
            for place, language in enumerate(getattr(rule, "languages", ())):
                if language not in LANGUAGES:
                    near = difflib.get_close_matches(language, LANGUAGES, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(LANGUAGES)}"
                    raise unusable(f"{section}[{index}].languages[{place}]", f"{language!r} is no language here{hint}")
    return document


def _check_globs(document: Document) -> None:
    lists: list[tuple[str, Sequence[str]]] = [
        ("paths.allow", document.paths.allow),
        ("paths.protect", document.paths.protect),
        ("paths.create", document.paths.create or ()),
        ("api.freeze", document.api.freeze),
    ]
    for section in ("imports", "calls", "patterns"):
        lists += [(f"{section}[{index}].paths", rule.paths) for index, rule in enumerate(getattr(document, section))]
    named = [(f"{key}[{index}]", glob) for key, globs in lists for index, glob in enumerate(globs)]
    for index, rule in enumerate(document.imports):
        for key, entries in (("forbid", rule.forbid), ("unless", rule.unless)):
            named += [(f"imports[{index}].{key}[{place}]", each) for place, each in enumerate(entries)]
            named += [
                (f"imports[{index}].{key}[{place}]", each.replace(".", "/")) for place, each in enumerate(entries)
            ]
    named += [(f"protected[{index}].path", each.path) for index, each in enumerate(document.protected)]
    for key, glob in named:
        try:
            Glob(glob)
        except GlobError as error:
            raise unusable(key, f"{glob!r} {error}") from error


def _told(message: str) -> PolicyError:
    """msgspec's message in our words."""
    found = _DEEPEST.search(message)
    key = found[1] if found else ""
    what = message[: found.start()] if found else message
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what)
    if unknown:
        key = f"{key}.{unknown[1]}".lstrip(".")
        near = difflib.get_close_matches(unknown[1], _fields(found[1] if found else ""), n=1)
        what = "is no key of a policy" + (f"; did you mean {near[0]!r}?" if near else "")
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        key = f"{key}.{missing[1]}".lstrip(".")
        what = "is missing"
    what = what[:1].lower() + what[1:].replace("`", "'")
    return PolicyError(f"Policy: {key or 'the document'}: {what}.", param=f"policy.{key}".rstrip("."))


def _fields(key: str) -> tuple[str, ...]:
    sections: dict[str, type[msgspec.Struct]] = {
        "": Document,
        "paths": Paths,
        "protected": ProtectedRange,
        "limits": Limits,
        "imports": ImportRule,
        "calls": CallRule,
        "patterns": PatternRule,
        "findings": FindingRules,
        "api": Api,
    }
    return sections[key.partition("[")[0]].__struct_fields__
