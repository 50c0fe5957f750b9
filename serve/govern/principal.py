"""Who is calling, what they may do and how much of it. Knows no credential and no route."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

Kind = Literal["anonymous", "key", "oidc", "certificate"]


class Scopes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What may be done: patterns in which ``*`` stands for anything.

    ``models``: names of served models; ``endpoints``: paths; ``tools``: names of tools that requests may offer;
    ``admin``: whether the administrators' endpoints answer.
    """

    models: tuple[str, ...] = ("*",)
    endpoints: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    admin: bool = False


MOST = 10**15
"""More than anybody uses, and less than what databases and formats cannot hold."""


class Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much may be used; None: as much as the server gives.

    Minutes and days are the last 60 seconds and the last 24 hours. ``streams``: answers being made at a time.
    ``context``: prompt and answer of one request together, in tokens.
    """

    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    streams: int | None = None
    context: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MOST:
                raise ValueError(f"{name} must be between 1 and {MOST}")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Whoever a request comes from. ``scopes`` must all allow what is done.

    ``id`` is stable and unique among all kinds: a key's id, ``oidc:`` and issuer and subject, ``certificate:`` and the
    subject's name.
    """

    id: str
    name: str
    kind: Kind
    scopes: tuple[Scopes, ...] = (Scopes(),)
    group: str | None = None
    quota: Quota = field(default_factory=Quota)

    @property
    def tenant(self) -> str | None:
        """Whose cached prefixes these are: the group's, where there is one. None: everybody's."""
        if self.kind == "anonymous":
            return None
        return f"group:{self.group}" if self.group is not None else self.id

    @property
    def is_admin(self) -> bool:
        """Whether the administrators' endpoints answer."""
        return any(scopes.admin for scopes in self.scopes)

    def may_use(self, model: str) -> bool:
        """Whether this model may be asked."""
        return all(_matches(scopes.models, model) for scopes in self.scopes)

    def may_call(self, path: str) -> bool:
        """Whether this endpoint may be called."""
        return all(_matches(scopes.endpoints, path) for scopes in self.scopes)

    def may_offer(self, tool: str) -> bool:
        """Whether requests may offer this tool to the model."""
        return all(_matches(scopes.tools, tool) for scopes in self.scopes)


def _matches(patterns: tuple[str, ...], word: str) -> bool:
    return any(fnmatchcase(word, pattern) for pattern in patterns)


ANONYMOUS = Principal(id="anonymous", name="anonymous", kind="anonymous")
"""Everybody, where no credential is asked for."""
