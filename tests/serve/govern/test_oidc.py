"""OIDC tokens, against an issuer of the test's own that speaks HTTP and turns its keys."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from dovetail.serve.api.access.guard import PRINCIPAL, Guard
from dovetail.serve.api.http.failures import Answers
from dovetail.serve.errors import DovetailError
from dovetail.serve.govern.access import jwks
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile, Group, Issuer
from dovetail.serve.govern.access.jwks import Jwks
from dovetail.serve.govern.access.oidc import Tokens
from dovetail.serve.govern.governance import Governance

ISSUER = "https://id.example"
GROUPS = {"dev": Group(models=("tiny",)), "ops": Group(admin=True)}


@dataclass
class Provider:
    """An identity provider: signs tokens, and serves its public keys unless it is down."""

    url: str = ""
    keys: list[Any] = field(default_factory=list)
    asked: int = 0
    down: bool = False
    told: Semaphore = field(default_factory=lambda: Semaphore(0))

    def sign(self, key: Any = None, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        key = key or self.keys[-1]
        algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519", "oct": "HS256"}[key.key_type]
        now = int(time.time())
        whole = {"iss": ISSUER, "aud": "dovetail", "sub": "ann", "exp": now + 300, "iat": now, "groups": ["developers"]}
        whole |= claims
        head = {"alg": algorithm, "kid": key.kid, **(header or {})}
        return jwt.encode(
            {"typ": "JWT", **{name: value for name, value in head.items() if value is not None}},
            {name: value for name, value in whole.items() if value is not None},
            key,
            algorithms=[head["alg"]],
        )

    def issuer(self, **fields: Any) -> Issuer:
        return Issuer(
            **{
                "issuer": ISSUER,
                "audience": "dovetail",
                "jwks": f"{self.url}/jwks",
                "groups": {"admins": "ops", "developers": "dev"},
                **fields,
            }
        )


@pytest.fixture(scope="module")
def some_keys() -> list[Any]:
    return [
        RSAKey.generate_key(2048, {"kid": "rsa"}),
        ECKey.generate_key("P-256", {"kid": "ec"}),
        OKPKey.generate_key("Ed25519", {"kid": "ed"}),
        ECKey.generate_key("P-256", {"kid": "new"}),
    ]


@pytest.fixture
def provider(some_keys: list[Any]) -> Iterator[Provider]:
    provider = Provider(keys=some_keys[:3])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            provider.told.release()
            body = json.dumps(KeySet(provider.keys).as_dict(private=False)).encode()
            self.send_response(503 if provider.down else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}"
    yield provider
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def tokens(provider: Provider) -> Tokens:
    return Tokens((provider.issuer(),), GROUPS)


async def refusal(tokens: Tokens, token: str) -> DovetailError:
    with pytest.raises(DovetailError) as caught:
        await tokens.principal(token)
    return caught.value


async def test_claims_become_a_principal_with_every_kind_of_key(provider: Provider, tokens: Tokens) -> None:
    for key in provider.keys:
        principal = await tokens.principal(provider.sign(key, sub=key.kid))
        assert (principal.id, principal.kind, principal.group) == (f"oidc:{ISSUER}#{key.kid}", "oidc", "dev")
        assert principal.may_use("tiny")
        assert not principal.may_use("other")
    assert provider.asked == 1
    both = await tokens.principal(provider.sign(groups=["developers", "admins"]))
    assert both.is_admin
    assert (await tokens.principal(provider.sign(groups="developers", aud=["other", "dovetail"]))).group == "dev"


async def test_tokens_beside_keys(provider: Provider) -> None:
    access = Access.of(AccessFile(oidc=(provider.issuer(),), groups=GROUPS), None, certificates=False)
    assert (await access.principal(provider.sign())).kind == "oidc"
    for other in (None, "dvt_a_b", "none", "ey.a", provider.sign()[:-2]):
        with pytest.raises(DovetailError) as caught:
            await access.principal(other)
        assert caught.value.status == 401


async def test_what_is_refused(provider: Provider, tokens: Tokens, some_keys: list[Any]) -> None:
    now = int(time.time())
    good = provider.sign()
    head, body, signature = good.split(".")
    other_body = provider.sign(sub="eve").split(".")[1]
    foreign = RSAKey.generate_key(2048, {"kid": "rsa"})
    secret = OctKey.import_key(json.dumps(KeySet(provider.keys).as_dict(private=False)))
    for token, code in (
        (provider.sign(exp=now - 61), "token_expired"),
        (provider.sign(exp=None), "invalid_token"),
        (provider.sign(nbf=now + 120), "invalid_token"),
        (provider.sign(aud="another"), "invalid_token"),
        (provider.sign(aud=None), "invalid_token"),
        (provider.sign(iss="https://evil.example"), "invalid_token"),
        (provider.sign(iss=["x"]), "invalid_token"),
        (provider.sign(sub=None), "invalid_token"),
        (provider.sign(foreign), "invalid_token"),
        (provider.sign(secret, header={"kid": "rsa"}), "invalid_token"),
        (provider.sign(header={"kid": None}), "invalid_token"),
        (f"{head}.{other_body}.{signature}", "invalid_token"),
        (f"{head}.{body}.", "invalid_token"),
        (f"{head}.{body}.{signature[:-4]}AAAA", "invalid_token"),
        ("ey.ey.ey", "invalid_token"),
        ("eyJhbGciOiJub25lIn0." + body + ".", "invalid_token"),
        (provider.sign(groups=["strangers"]), "no_group"),
        (provider.sign(groups=None), "no_group"),
        (good + "A" * 20_000, "invalid_token"),
    ):
        error = await refusal(tokens, token)
        assert (error.status, error.code) == (403 if code == "no_group" else 401, code), token


async def test_names_and_groups_as_the_file_says(provider: Provider) -> None:
    issuer = provider.issuer(name_claim="preferred_username", default_group="dev", group_claim="roles")
    tokens = Tokens((issuer,), GROUPS)
    named = await tokens.principal(provider.sign(preferred_username="Ann", roles=["strangers"]))
    assert (named.name, named.group) == ("Ann", "dev")
    assert (await tokens.principal(provider.sign(roles=["admins"]))).group == "ops"
    padded = provider.sign(provider.keys[0], header={"alg": "PS256"})
    assert (await tokens.principal(padded)).kind == "oidc"
    few = Tokens((provider.issuer(algorithms=("ES256",)),), GROUPS)
    assert (await refusal(few, provider.sign(provider.keys[0]))).code == "invalid_token"


async def test_tokens_over_http(provider: Provider) -> None:
    async def who(request: Request) -> JSONResponse:
        return JSONResponse(request.scope[PRINCIPAL].id)

    access = Access.of(AccessFile(oidc=(provider.issuer(),), groups=GROUPS), None, certificates=False)
    app = Guard(Starlette(routes=[Route("/who", who)]), Governance(access), Answers(1).to)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for token, status in ((provider.sign(), 200), (provider.sign(exp=1), 401), (provider.sign(groups=[]), 403)):
            answer = await client.get("/who", headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == status, answer.text
        assert (await client.get("/who")).status_code == 401


async def test_the_clock_may_differ_by_the_leeway(provider: Provider) -> None:
    now = int(time.time())
    late = provider.sign(exp=now - 20)
    assert (await Tokens((provider.issuer(leeway_seconds=60),), GROUPS).principal(late)).name == "ann"
    assert (await refusal(Tokens((provider.issuer(leeway_seconds=0),), GROUPS), late)).code == "token_expired"


async def test_a_token_that_was_checked_expires_all_the_same(provider: Provider) -> None:
    clock = [time.time()]
    tokens = Tokens((provider.issuer(leeway_seconds=0),), GROUPS, now=lambda: clock[0])
    token = provider.sign(exp=int(clock[0]) + 30)
    for _ in range(2):
        assert (await tokens.principal(token)).name == "ann"
    clock[0] += 31
    assert (await refusal(tokens, token)).code == "token_expired"


async def test_keys_that_were_turned(provider: Provider, some_keys: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "AGAIN_SECONDS", 0.0)
    tokens = Tokens((provider.issuer(),), GROUPS)
    old = provider.sign()
    await tokens.principal(old)
    provider.keys = [some_keys[3]]
    fresh = provider.sign()
    assert (await tokens.principal(fresh)).name == "ann"
    assert provider.asked == 2
    # The old key is the issuer's no more.
    assert (await refusal(tokens, provider.sign(some_keys[2], sub="bob"))).code == "invalid_token"


async def test_invented_key_ids_do_not_burden_the_issuer(provider: Provider, tokens: Tokens) -> None:
    await tokens.principal(provider.sign())
    await asyncio.gather(*(refusal(tokens, provider.sign(header={"kid": f"x{index}"})) for index in range(50)))
    assert provider.asked == 1


async def test_many_at_once_fetch_once(provider: Provider, tokens: Tokens) -> None:
    await asyncio.gather(*(tokens.principal(provider.sign(sub=str(index))) for index in range(50)))
    assert provider.asked == 1


async def test_an_issuer_that_is_down(provider: Provider) -> None:
    clock = [1000.0]
    keys = Jwks(f"{provider.url}/jwks", clock=lambda: clock[0])
    provider.down = True
    with pytest.raises(DovetailError) as caught:
        await keys.key("rsa")
    assert caught.value.status == 503
    provider.down = False
    clock[0] += 6
    assert await keys.key("rsa") is not None
    provider.down = True
    clock[0] += jwks.KEPT_SECONDS + 1
    assert await keys.key("rsa") is not None
    for _ in range(3):
        assert await asyncio.to_thread(provider.told.acquire, timeout=60)
    clock[0] += jwks.STALE_SECONDS
    with pytest.raises(DovetailError):
        await keys.key("rsa")


async def test_keys_in_a_file(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KeySet(provider.keys).as_dict(private=False)))
    tokens = Tokens((provider.issuer(jwks=str(path)),), GROUPS)
    assert (await tokens.principal(provider.sign())).group == "dev"
    assert provider.asked == 0
    missing = Tokens((provider.issuer(jwks=str(tmp_path / "none")),), GROUPS)
    assert (await refusal(missing, provider.sign())).code == "issuer_unavailable"
