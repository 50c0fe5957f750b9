"""From credentials to principals: keys, client certificates, the access file."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import UserError
from dovetail.serve.govern.access.access import Access, Owner, require, require_admin, require_model, require_tools
from dovetail.serve.govern.access.document import AccessFile, read_access_file
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.keys.table import create_key, revoke_key
from dovetail.serve.govern.principal import ANONYMOUS, Quota, Scopes
from dovetail.serve.govern.store.database import Database

FILE = """
[quota]
requests_per_minute = 60

[groups.team]
endpoints = ["/v1/*"]
quota = { tokens_per_day = 1000 }
member = { streams = 2 }

[groups.ops]
admin = true

[certificates]
groups = { "ci-*.example" = "team", "root" = "ops" }
"""


@pytest.fixture
def file(tmp_path: Path) -> AccessFile:
    path = tmp_path / "access.toml"
    path.write_text(FILE)
    return read_access_file(path)


@pytest.fixture
def keyring() -> Iterator[Keyring]:
    with contextlib.closing(Database(":memory:")) as database:
        # A clock that runs fast: every look asks the database.
        yield Keyring(database, clock=itertools.count().__next__)


@pytest.fixture
def access(file: AccessFile, keyring: Keyring) -> Access:
    return Access.of(file, keyring, certificates=True)


def made(keyring: Keyring, **fields: object) -> tuple[str, str]:
    key, text = keyring.database.call(
        lambda session: create_key(session, "k", now=time.time(), **fields)  # type: ignore[arg-type]
    )
    return key.id, text


async def test_without_kinds_of_credentials_everybody_is_let_in() -> None:
    access = Access()
    assert access.is_open
    for credential in (None, "", "anything", "dvt_a_b", "ey.a.b"):
        assert await access.principal(credential, "root") == ANONYMOUS
    assert ANONYMOUS.tenant is None


async def test_quota_of_its_own_of_its_group_of_all(access: Access, keyring: Keyring) -> None:
    for fields, quota in (
        ({}, Quota(requests_per_minute=60)),
        ({"group": "team"}, Quota(streams=2)),
        ({"group": "team", "quota": Quota(streams=9)}, Quota(streams=9)),
    ):
        key_id, text = made(keyring, **fields)
        principal = await access.principal(text)
        assert (principal.id, principal.kind, principal.quota) == (key_id, "key", quota)
    assert principal.tenant == "group:team"


async def test_scopes_of_a_key_and_its_group_must_both_allow(access: Access, keyring: Keyring) -> None:
    scopes = Scopes(models=("tiny",), endpoints=("/v1/edits*", "/metrics"), tools=("read_*",))
    _, text = made(keyring, group="team", scopes=scopes)
    principal = await access.principal(text)
    require(principal, "/v1/edits/apply")
    require_model(principal, "tiny")
    require_tools(principal, ["read_file", "read_dir"])
    refused = [
        lambda: require(principal, "/metrics"),
        lambda: require(principal, "/v1/messages"),
        lambda: require_model(principal, "tiny-2"),
        lambda: require_tools(principal, ["read_file", "write_file"]),
        lambda: require_admin(principal),
    ]
    for refusal in refused:
        with pytest.raises(UserError) as caught:
            refusal()
        assert caught.value.status == 403
    assert "write_file" in caught.value.message or caught.value.code == "admin_only"


async def test_what_opens_nothing(access: Access, keyring: Keyring) -> None:
    revoked_id, revoked = made(keyring)
    keyring.database.call(lambda session: revoke_key(session, revoked_id, now=time.time()))
    _, expired = made(keyring, expires=time.time() - 1)
    _, elsewhere = made(keyring, group="gone")
    for credential, status, code in (
        (None, 401, "missing_api_key"),
        ("", 401, "missing_api_key"),
        ("sk-123", 401, "invalid_api_key"),
        ("x" * 20_000, 401, "invalid_api_key"),
        (revoked, 401, "revoked_api_key"),
        (revoked[:-1], 401, "invalid_api_key"),
        (expired, 401, "expired_api_key"),
        (elsewhere, 403, "no_group"),
    ):
        with pytest.raises(UserError) as caught:
            await access.principal(credential)
        assert (caught.value.status, caught.value.code) == (status, code)


async def test_a_certificate_is_a_principal_where_no_key_is_sent(access: Access, keyring: Keyring) -> None:
    ci = await access.principal(None, "ci-7.example")
    assert (ci.id, ci.kind, ci.group, ci.is_admin) == ("certificate:ci-7.example", "certificate", "team", False)
    assert (await access.principal(None, "root")).is_admin
    with pytest.raises(UserError):
        await access.principal(None, "stranger")
    with pytest.raises(UserError):
        await access.principal("dvt_wrong_key", "root")
    key_id, text = made(keyring)
    assert (await access.principal(text, "root")).id == key_id


async def test_owners_are_found_again_while_they_may_do_anything(access: Access, keyring: Keyring) -> None:
    key_id, _ = made(keyring)
    owner = Owner(key_id, "k", "key")
    assert (await access.returning(owner)).id == key_id
    keyring.database.call(lambda session: revoke_key(session, key_id, now=time.time()))
    for gone in (
        owner,
        Owner("none", "k", "key"),
        Owner("oidc:x", "k", "oidc", "left"),
        Owner("anonymous", "", "anonymous"),
    ):
        with pytest.raises(UserError):
            await access.returning(gone)
    assert (await access.returning(Owner("oidc:x", "k", "oidc", "team"))).group == "team"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quotas = 1", "unknown field `quotas`"),
        ("[groups.a]\nmodel = ['x']", "unknown field `model`.*groups"),
        ("[quota]\nstreams = 0", "streams must be between 1"),
        ("[quota]\nstreams = 'many'", r"Expected `int \| null`, got `str` - at `\$.quota.streams`"),
        ("[certificates]\ngroups = { x = 'y' }", "certificates names the group 'y'"),
        ("[[oidc]]\nissuer='i'\naudience='a'\njwks='f'\nalgorithms=['HS256']", "'HS256' is none of RS256"),
        ("[[oidc]]\nissuer='i'\naudience='a'\njwks='f'\nalgorithms=['none']", "'none' is none of"),
        ("[[oidc]]\nissuer='i'\naudience='a'\njwks='http://far.example/jwks'", "fetched over https"),
        ("[[oidc]]\nissuer='i'\naudience='a'", "missing required field `jwks`"),
        ("[[oidc]]\nissuer='i'\naudience='a'\njwks='f'\ndefault_group='g'", "names the group 'g'"),
        ("groups = ", "not usable"),
    ],
)
def test_an_access_file_that_is_not_usable(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_access_file(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_access_file(tmp_path / "none.toml")
