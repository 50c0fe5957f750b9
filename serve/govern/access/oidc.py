"""OIDC bearer tokens: signature, issuer, audience and times checked; claims turned into a principal. Knows no HTTP."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError

from dovetail.serve.errors import UserError
from dovetail.serve.govern.access.document import Group, Issuer
from dovetail.serve.govern.access.jwks import Jwks
from dovetail.serve.govern.access.refusal import unauthenticated
from dovetail.serve.govern.principal import Principal

MOST_REMEMBERED = 4096
"""Tokens that were checked: their signatures need no second look."""
REMEMBERED_SECONDS = 60.0
"""For how long; then the key that signed one must still be the issuer's."""
_MOST_CHARACTERS = 16_384


class Tokens:
    """Checks the tokens of the configured issuers.

    Args:
        issuers: whose tokens are taken.
        groups: what members of a group may do.
        now: seconds since 1970.
    """

    def __init__(
        self, issuers: tuple[Issuer, ...], groups: Mapping[str, Group], now: Callable[[], float] = time.time
    ) -> None:
        self._issuers = {issuer.issuer: (issuer, Jwks(issuer.jwks)) for issuer in issuers}
        self._groups = groups
        self._now = now
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    @staticmethod
    def looks_like_one(text: str) -> bool:
        """Whether this has the form of a signed token."""
        return text.count(".") == 2 and text.startswith("ey")

    async def principal(self, token: str) -> Principal:
        """Whose token this is. Raises UserError (401, 403) or IssuerUnavailable."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._now() < known[0]:
            self._known.move_to_end(digest)
            return known[1]
        claims, issuer = await self._checked(token)
        principal = self._principal(claims, issuer)
        until = min(self._now() + REMEMBERED_SECONDS, float(claims["exp"]) + issuer.leeway_seconds)
        self._known[digest] = until, principal
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return principal

    async def _checked(self, token: str) -> tuple[dict[str, Any], Issuer]:
        """The claims of a token that is good now, and who issued it."""
        if len(token) > _MOST_CHARACTERS:
            raise unauthenticated("The token is too long.", "invalid_token")
        try:
            unproven = jws.extract_compact(token.encode())
            claimed = msgspec.json.decode(unproven.payload)
            name = claimed.get("iss") if isinstance(claimed, dict) else None
            header = unproven.headers()
            issuer, keys = self._issuers[name if isinstance(name, str) else ""]
            if header.get("alg") not in issuer.algorithms:
                raise unauthenticated("The token is signed in a way that is not taken here.", "invalid_token")
            key = await keys.key(header.get("kid"))
            if key is None:
                raise unauthenticated("The token is signed with a key that is not its issuer's.", "invalid_token")
            claims = jwt.decode(token, key, algorithms=list(issuer.algorithms)).claims
            self._require(claims, issuer)
        except KeyError as error:
            raise unauthenticated("The token's issuer is not taken here.", "invalid_token") from error
        except ExpiredTokenError as error:
            raise unauthenticated("The token has expired.", "token_expired") from error
        except (JoseError, ValueError) as error:
            raise unauthenticated("The token is not valid here.", "invalid_token") from error
        return claims, issuer

    def _require(self, claims: dict[str, Any], issuer: Issuer) -> None:
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=issuer.leeway_seconds,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        registry.validate(claims)

    def _principal(self, claims: Mapping[str, Any], issuer: Issuer) -> Principal:
        told = claims.get(issuer.group_claim)
        values = {told} if isinstance(told, str) else {each for each in told or () if isinstance(each, str)}
        # The file's order decides where a caller is in several groups.
        name = next((group for value, group in issuer.groups.items() if value in values), issuer.default_group)
        if name is None:
            raise UserError(
                f"The token's {issuer.group_claim!r} names no group that may use this server.",
                status=403,
                code="no_group",
            )
        group = self._groups[name]
        return Principal(
            id=f"oidc:{issuer.issuer}#{claims['sub']}",
            name=str(claims.get(issuer.name_claim, claims["sub"])),
            kind="oidc",
            scopes=(group.scopes,),
            group=name,
            quota=group.member,
        )
