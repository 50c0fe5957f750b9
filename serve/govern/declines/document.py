"""An acceptable use policy: clauses, the rules that hold them, and the guard model beside; read from TOML. Judges no text."""

from __future__ import annotations

import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dovetail.serve.errors import UserError

BUILT_IN = Path(__file__).parent / "acceptable_use.toml"

_Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._/-]{0,99}$")]


class AcceptableUseError(UserError):
    """A policy that cannot be used."""

    default_code = "invalid_acceptable_use"


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the server does not do; named wherever a request is declined for it."""

    id: _Id
    title: str
    text: str


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A pattern over one sentence, and what lets the sentence pass all the same. ``bad`` and ``good`` are its tests."""

    id: _Id
    clause: _Id
    pattern: str
    unless: str = ""
    bad: tuple[str, ...] = ()
    good: tuple[str, ...] = ()

    def finds(self, sentence: str) -> bool:
        """Whether the sentence, in lower case, is what the rule is for."""
        return self._pattern.search(sentence) is not None and not (self._unless and self._unless.search(sentence))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    @cached_property
    def _unless(self) -> re.Pattern[str] | None:
        return re.compile(self.unless) if self.unless else None


class GuardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chat model that is asked about every new message of a user.

    ``url``: of its chat completions endpoint's base, such as http://127.0.0.1:9000/v1. ``key_variable``: the environment variable
    with its key. ``on_failure``: what becomes of a request that it gives no answer for in ``seconds``: let through (open) or
    refused with a 503 (closed).
    """

    url: Annotated[str, Meta(pattern=r"^https?://")]
    model: str
    key_variable: str | None = None
    seconds: Annotated[float, Meta(gt=0, le=120)] = 5.0
    on_failure: Literal["open", "closed"] = "open"


class AcceptableUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole policy. ``sticky_seconds``: how long a declined run stays so."""

    clause: tuple[Clause, ...]
    rule: tuple[Rule, ...] = ()
    title: str = "Acceptable use"
    words: dict[str, str] = {}
    guard: GuardSettings | None = None
    sticky_seconds: Annotated[float, Meta(ge=0, le=604_800)] = 3600.0

    def clause_of(self, id: str) -> Clause | None:
        """The clause of that name."""
        return next((each for each in self.clause if each.id == id), None)

    @property
    def text(self) -> str:
        """The clauses, as a guard model is told them."""
        return "\n".join(f"{each.id}: {each.title}. {each.text}" for each in self.clause)


def read_acceptable_use(file: Path = BUILT_IN) -> AcceptableUse:
    """The policy in a TOML file, its patterns compiled and its examples tried.

    Raises:
        AcceptableUseError: it cannot be read or used; the message names the place.
    """
    try:
        document = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), AcceptableUse)
    except OSError as error:
        raise AcceptableUseError(f"The acceptable use policy {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise AcceptableUseError(f"The acceptable use policy {file}: {error}.") from error
    document = msgspec.structs.replace(document, rule=tuple(_spelt_out(rule, document.words) for rule in document.rule))
    for rule in document.rule:
        _check(document, rule)
    return document


def _spelt_out(rule: Rule, words: dict[str, str]) -> Rule:
    pattern, unless = rule.pattern, rule.unless
    for name, meaning in words.items():
        pattern = pattern.replace(f"${{{name}}}", meaning)
        unless = unless.replace(f"${{{name}}}", meaning)
    return msgspec.structs.replace(rule, pattern=pattern, unless=unless)


def _check(document: AcceptableUse, rule: Rule) -> None:
    if document.clause_of(rule.clause) is None:
        raise AcceptableUseError(f"Acceptable use: rule {rule.id}: there is no clause {rule.clause!r}.")
    try:
        wrong = next((each for each in rule.bad if not rule.finds(each)), None)
        passed = next((each for each in rule.good if rule.finds(each)), None)
    except re.error as error:
        raise AcceptableUseError(f"Acceptable use: rule {rule.id}: {error}.") from error
    if wrong is not None:
        raise AcceptableUseError(f"Acceptable use: rule {rule.id} does not find {wrong!r}.")
    if passed is not None:
        raise AcceptableUseError(f"Acceptable use: rule {rule.id} finds {passed!r}, and should not.")
