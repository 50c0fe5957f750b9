"""From the credentials of a request to a principal. Knows no HTTP: what it is given was read from headers and connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from dovetail.serve.govern.access.document import AccessFile, Certificates, Group
from dovetail.serve.govern.access.oidc import Tokens
from dovetail.serve.govern.access.refusal import forbidden, unauthenticated
from dovetail.serve.govern.keys.key import Key
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.principal import ANONYMOUS, Kind, Principal, Quota

MISSING = (
    "This server asks for a credential: send an API key as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'. "
    "Whoever runs it makes one with 'dovetail keys create'."
)
_MOST_CHARACTERS = 16_384


@dataclass(frozen=True)
class Owner:
    """A principal as it is written down beside what it owns, to be found again after a restart."""

    id: str
    name: str
    kind: Kind
    group: str | None = None


@dataclass(frozen=True)
class Access:
    """The kinds of credentials that this server takes; with none of them, everybody is let in.

    ``certificates`` None: the server does not ask for them.
    """

    keyring: Keyring | None = None
    tokens: Tokens | None = None
    certificates: Certificates | None = None
    groups: Mapping[str, Group] = field(default_factory=dict)
    quota: Quota = field(default_factory=Quota)
    now: Callable[[], float] = time.time

    @classmethod
    def of(cls, file: AccessFile, keyring: Keyring | None, *, certificates: bool) -> Access:
        """What the access file says, with these keys."""
        return cls(
            keyring,
            Tokens(file.oidc, file.groups) if file.oidc else None,
            file.certificates if certificates else None,
            file.groups,
            file.quota,
        )

    @property
    def is_open(self) -> bool:
        """Whether no credential is asked for."""
        return self.keyring is None and self.tokens is None and self.certificates is None

    async def principal(self, credential: str | None, subject: str | None = None) -> Principal:
        """Who sends this key or token, or, without one, whose client certificate's common name is ``subject``.

        Raises:
            UserError: 401, or 403 where a credential is good and opens nothing.
            EngineError: it cannot be found out now.
        """
        if self.is_open:
            return ANONYMOUS
        if credential:
            if len(credential) > _MOST_CHARACTERS:
                raise unauthenticated("The credential is too long.")
            if self.tokens is not None and self.tokens.looks_like_one(credential):
                return await self.tokens.principal(credential)
            return await self._of_key(credential)
        if subject is not None and self.certificates is not None:
            return self._of_certificate(subject, self.certificates)
        raise unauthenticated(MISSING, "missing_api_key")

    async def returning(self, owner: Owner) -> Principal:
        """The principal that was written down. Raises UserError where it may do nothing any more."""
        if self.is_open:
            return ANONYMOUS
        if owner.kind == "key" and self.keyring is not None:
            key = await self.keyring.by_id(owner.id)
            if key is not None:
                return self._member(key)
        elif owner.kind in ("oidc", "certificate") and owner.group is not None and owner.group in self.groups:
            group = self.groups[owner.group]
            return Principal(
                id=owner.id,
                name=owner.name,
                kind=owner.kind,
                scopes=(group.scopes,),
                group=owner.group,
                quota=group.member,
            )
        raise unauthenticated("Whoever began this has no credential here any more.")

    async def _of_key(self, text: str) -> Principal:
        key = await self.keyring.match(text) if self.keyring is not None else None
        if key is None:
            # The same words for an unknown key and a wrong secret.
            raise unauthenticated("The API key is not one of this server's.")
        return self._member(key)

    def _member(self, key: Key) -> Principal:
        standing = key.standing(self.now())
        if standing != "live":
            what = "has expired" if standing == "expired" else "was revoked"
            raise unauthenticated(f"The API key {key.id} {what}.", f"{standing}_api_key")
        group = self.groups.get(key.group) if key.group is not None else None
        if key.group is not None and group is None:
            raise forbidden(f"The key's group {key.group!r} is not in this server's access file.", "no_group")
        quota = key.quota
        if quota == Quota():
            quota = group.member if group is not None else self.quota
        return Principal(
            id=key.id,
            name=key.name,
            kind="key",
            scopes=(key.scopes,) if group is None else (key.scopes, group.scopes),
            group=key.group,
            quota=quota,
        )

    def _of_certificate(self, subject: str, rules: Certificates) -> Principal:
        matching = (group for pattern, group in rules.groups.items() if fnmatchcase(subject, pattern))
        name = next(matching, rules.default_group)
        if name is None:
            raise unauthenticated(MISSING, "missing_api_key")
        group = self.groups[name]
        return Principal(
            id=f"certificate:{subject}",
            name=subject,
            kind="certificate",
            scopes=(group.scopes,),
            group=name,
            quota=group.member,
        )


def require(principal: Principal, path: str) -> None:
    """Raise a 403 unless this principal may call this endpoint."""
    if not principal.may_call(path):
        raise forbidden(f"This credential may not call {path}.", "endpoint_not_allowed")


def require_model(principal: Principal, model: str) -> None:
    """Raise a 403 unless this principal may ask this model."""
    if not principal.may_use(model):
        raise forbidden(f"This credential may not use the model {model!r}.", "model_not_allowed", "model")


def require_tools(principal: Principal, tools: Sequence[str]) -> None:
    """Raise a 403 that names the first tool that this principal may not offer."""
    for name in tools:
        if not principal.may_offer(name):
            raise forbidden(f"This credential may not offer the tool {name!r}.", "tool_not_allowed", "tools")


def require_admin(principal: Principal) -> None:
    """Raise a 403 unless this principal administers the server."""
    if not principal.is_admin:
        raise forbidden("This credential is no administrator's.", "admin_only")
