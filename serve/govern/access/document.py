"""The access file: groups, default quotas, OIDC issuers, client certificates. Reads TOML; checks everything at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.principal import Quota, Scopes

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Algorithms that may sign a token: those with a public key. (With HS256, whoever can check a token could make one.)"""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What members of a group may do, whatever their own key allows, and a quota that they share.

    ``member``: the quota of each member by itself.
    """

    models: tuple[str, ...] = ("*",)
    endpoints: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    admin: bool = False
    quota: Quota = Quota()
    member: Quota = Quota()

    @property
    def scopes(self) -> Scopes:
        """What a member may do."""
        return Scopes(models=self.models, endpoints=self.endpoints, tools=self.tools, admin=self.admin)


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OIDC issuer whose tokens are taken.

    ``jwks``: file or URL of its public keys. ``name_claim``: what the caller is called in lists; ``group_claim``: a name or a
    list of names. ``groups``: from the claim's values to groups of this file; a value that is not named here is no group.
    ``default_group``: of callers without one; None: they are refused.
    """

    issuer: str
    audience: str
    jwks: str
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "Ed25519")
    leeway_seconds: int = 60
    name_claim: str = "sub"
    group_claim: str = "groups"
    groups: dict[str, str] = {}
    default_group: str | None = None


class Certificates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Callers who are known by their client certificate. ``groups``: from patterns of common names to groups.
    ``default_group``: of the others; None: their certificate alone opens nothing, and they need a key too."""

    groups: dict[str, str] = {}
    default_group: str | None = None


class AccessFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. ``quota``: of keys that have none of their own."""

    quota: Quota = Quota()
    groups: dict[str, Group] = {}
    oidc: tuple[Issuer, ...] = ()
    certificates: Certificates = Certificates()


def read_access_file(path: Path) -> AccessFile:
    """The file at ``path``. Raises ConfigError that names the place."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=AccessFile)
    except OSError as error:
        raise ConfigError(f"The access file {path} cannot be read: {error.strerror}.", param="access") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"The access file {path} is not usable: {error}.", param="access") from error
    for message in _faults(file):
        raise ConfigError(f"The access file {path} is not usable: {message}.", param="access")
    return file


def _faults(file: AccessFile) -> list[str]:
    """What is wrong with a file whose form is right."""
    named: dict[str, Any] = {"certificates": file.certificates}
    named |= {f"oidc[{index}]": issuer for index, issuer in enumerate(file.oidc)}
    faults: list[str] = []
    for place, part in named.items():
        wanted = {*part.groups.values(), *([part.default_group] if part.default_group is not None else [])}
        faults += [f"{place} names the group {name!r}, which it does not define" for name in wanted - set(file.groups)]
    for index, issuer in enumerate(file.oidc):
        faults += [
            f"oidc[{index}].algorithms: {name!r} is none of {', '.join(SIGNATURES)}"
            for name in issuer.algorithms
            if name not in SIGNATURES
        ]
        url = urlsplit(issuer.jwks)
        if url.scheme == "http" and url.hostname not in LOOPBACK:
            faults.append(f"oidc[{index}].jwks: keys are fetched over https, or http on this machine alone")
        if not issuer.algorithms:
            faults.append(f"oidc[{index}].algorithms must hold at least one")
        if not 0 <= issuer.leeway_seconds <= 600:
            faults.append(f"oidc[{index}].leeway_seconds must be between 0 and 600")
    return faults
