"""Who may call what, and how much: the real application behind its guard."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anthropic
import httpx
import openai
import pytest
from starlette.routing import Route

from dovetail.serve.api import adapters
from dovetail.serve.api.access.admin import create_admin_app
from dovetail.serve.api.access.guard import OPEN
from dovetail.serve.api.access.headers import duration
from dovetail.serve.api.adapters import LOAD, UNLOAD
from dovetail.serve.api.app import create_app
from dovetail.serve.api.console import endpoints as console
from dovetail.serve.api.console import pages
from dovetail.serve.api.http.limits import Limits
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine, Script, Step, reply
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile, Group
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.card.keeper import CardKeeper
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.keys.table import create_key, revoke_key
from dovetail.serve.govern.principal import Quota, Scopes
from dovetail.serve.govern.quotas.gate import Gate
from dovetail.serve.govern.quotas.usage import UsageLog, report
from dovetail.serve.govern.store.database import Database, StoreError
from dovetail.serve.types import EditSpec, Request, TokensEvent

CHAT = "/v1/chat/completions"
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
PROMPT = len("<user>hi\n")
BLOCK = "a\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n"
ANSWER = len("Hello, wörld".encode())
WEB = Path(__file__).parents[3] / "serve/console/web"
CONSOLE = {
    "/" if file.name == "index.html" else f"/console/{file.name}": file for file in WEB.iterdir() if file.is_file()
}
CONSOLE_ASKS = ("session", "live", "keys", "usage", "audit")
GENERATING = {
    CHAT: ASKED,
    "/v1/responses": {"model": "tiny", "input": "hi"},
    "/v1/messages": {**ASKED, "max_tokens": 50},
    "/v1/completions": {"model": "tiny", "prompt": "hi"},
    "/v1/edits": {"instruction": "x", "files": [{"path": "a", "content": "a\n"}]},
}


@dataclass
class Guarded:
    """An application that asks for keys."""

    app: object
    engine: FakeEngine
    client: httpx.AsyncClient
    governance: Governance
    database: Database

    def key(self, *, revoked: bool = False, **fields: object) -> str:
        def make(session) -> str:
            key, text = create_key(session, "k", now=time.time(), **fields)
            if revoked:
                revoke_key(session, key.id, now=time.time())
            return text

        return self.database.call(make)

    async def post(self, path: str, body: object, key: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={"authorization": f"Bearer {key}"})

    async def used(self) -> list[tuple[int, int, int, int]]:
        await self.governance.usage.flush()
        lines = self.database.call(lambda session: report(session, "key"))
        return [(line.requests, line.refused, line.prompt_tokens, line.completion_tokens) for line in lines]


def hello(request: Request) -> Iterator[Step]:
    pieces = [BLOCK] if isinstance(request.constraint, EditSpec) else ["Hel", "lo, ", "wörld"]
    return reply(request, pieces, lambda text: list(text.encode()))


def endless(request: Request) -> Iterator[Step]:
    for _ in itertools.count():
        yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
        yield 0.01


@pytest.fixture
async def guarded(served: ServedModel) -> AsyncIterator[Callable[..., Guarded]]:
    async with contextlib.AsyncExitStack() as stack:

        def make(
            script: Script = hello, file: AccessFile | None = None, keys: object = ":memory:", **settings: object
        ) -> Guarded:
            file = file or AccessFile()
            database = stack.enter_context(contextlib.closing(Database(str(keys))))
            keyring = Keyring(database, clock=itertools.count().__next__)
            usage = UsageLog(database)
            stack.push_async_callback(usage.close)
            gate = Gate({name: group.quota for name, group in file.groups.items()}, usage.record)
            governance = Governance(Access.of(file, keyring, certificates=False), gate, usage, database)
            engine = FakeEngine(script)
            facts = Facts(
                model=served.name,
                created=served.created,
                context_length=served.max_model_len,
                capabilities=served.capabilities,
                directory=Path(__file__).parent,
                configuration={},
                version="1",
                weights="0" * 64,
            )
            card = CardKeeper(facts, lambda: None)
            app = create_app(engine, served, ApiSettings(**settings), governance=governance, card=card)
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://test")
            stack.push_async_callback(client.aclose)
            return Guarded(app, engine, client, governance, database)

        yield make


def calls(routes: Iterable[object]) -> list[tuple[str, str]]:
    """Every method and path that the application answers."""
    found: list[tuple[str, str]] = []
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            found += calls(included.routes)
            continue
        assert isinstance(route, Route), f"{route!r}: tell this test how its requests look"
        path = route.path.replace("{", "").replace("}", "")
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


async def test_every_route_but_health_refuses_without_a_credential_that_opens_it(guarded) -> None:
    api = guarded(docs=True)
    refused = {
        "none": (None, 401),
        "empty": ("", 401),
        "wrong": ("dvt_abc_def", 401),
        "anybody's": ("none", 401),
        "a token": ("eyJhbGciOiJub25lIn0.e30.", 401),
        "expired": (api.key(expires=time.time() - 1), 401),
        "revoked": (api.key(revoked=True), 401),
        "without the scope": (api.key(scopes=Scopes(endpoints=("/elsewhere",))), 403),
    }
    routes = calls(api.app.routes)
    assert len(routes) > 50
    assert {("POST", path) for path in GENERATING} <= set(routes)
    assert frozenset({"/health", "/ready", *CONSOLE}) == OPEN
    assert {path for _, path in routes} >= {*CONSOLE, *(f"/console/api/{name}" for name in CONSOLE_ASKS)}
    nowhere = [("GET", "/no/such/route"), ("POST", "/v1/messages/none"), ("GET", "/console/"), ("GET", "/console/x.js")]
    for method, path in [*routes, *nowhere]:
        for name, (key, status) in refused.items():
            for header in ("authorization", "x-api-key"):
                headers = {} if key is None else {header: f"Bearer {key}" if header == "authorization" else key}
                answer = await api.client.request(method, path, headers=headers)
                where = f"{method} {path} with {name}"
                if path in ("/health", "/ready"):
                    assert answer.status_code == 200, where
                    continue
                if path in CONSOLE:
                    # Public code: whoever asks gets the bytes of the file, and a path that is no file of it is guarded.
                    assert answer.status_code == 200, where
                    assert answer.content == (b"" if method == "HEAD" else CONSOLE[path].read_bytes()), where
                    continue
                assert answer.status_code == status, where
                if method == "HEAD":
                    continue
                body = answer.json()
                if path.startswith("/v1/messages"):
                    assert body["type"] == "error", where
                    assert body["error"]["type"] in ("authentication_error", "permission_error"), where
                else:
                    assert set(body["error"]) == {"message", "type", "param", "code"}, where
                if status == 401:
                    assert answer.headers["www-authenticate"] == "Bearer", where
    assert not api.engine.requests


async def test_every_route_of_administrators_refuses_all_others(guarded) -> None:
    api = guarded()
    context = api.app.state.context
    more = [
        partial(adapters.routes, api.app.state.models, ApiSettings()),
        partial(console.routes, context),
        lambda _: pages.routes(),
    ]
    admin = create_admin_app(api.governance, context.metrics, trusted=False, more=more)
    routes = calls(admin.routes)
    assert len(routes) == 9 + 2 * len(CONSOLE) + len(CONSOLE_ASKS)
    strangers = {None: 401, "dvt_a_b": 401, api.key(revoked=True, scopes=Scopes(admin=True)): 401, api.key(): 403}
    transport = httpx.ASGITransport(app=admin)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        for method, path in routes:
            for key, status in strangers.items():
                answer = await client.request(method, path, headers={} if key is None else {"x-api-key": key})
                assert answer.status_code == (200 if path == "/health" or path in CONSOLE else status), (
                    f"{method} {path}"
                )
            own = {"x-api-key": api.key(scopes=Scopes(admin=True))}
            assert (await client.request(method, path, headers=own)).status_code not in (401, 403)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"expires_seconds": 10**400}, "expires_seconds"),
        ({"expires_seconds": 10**15}, "expires_seconds"),
        ({"quota": {"streams": 10**30}}, "quota"),
        ({"quota": {"streams": 0}}, "quota"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": {"models": "*"}}, "scopes"),
    ],
)
async def test_numbers_that_nothing_can_hold_are_refused(guarded, change: dict[str, object], param: str) -> None:
    api = guarded()
    admin = create_admin_app(api.governance, api.app.state.context.metrics, trusted=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=admin), base_url="http://admin") as client:
        refused = await client.post("/keys", json={"name": "a", **change})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
        made = (await client.post("/keys", json={"name": "a", "quota": {"streams": 5}})).json()["id"]
        too_long = {"grace_seconds": 10**400}
        assert (await client.post(f"/keys/{made}/rotate", json=too_long)).status_code == 400
        assert (await client.get("/usage", params={"since": "9" * 400})).status_code == 400
        assert (await client.delete("/keys/%00")).status_code == 404
        assert (await client.get("/keys")).status_code == 200


async def test_every_route_lets_a_key_in(guarded) -> None:
    api = guarded(docs=True)
    key, administrators = api.key(), api.key(scopes=Scopes(admin=True))
    for path in CONSOLE_ASKS[1:]:
        assert (await api.client.get(f"/console/api/{path}", headers={"x-api-key": key})).status_code == 403
    for method, path in calls(api.app.routes):
        own = administrators if path in (LOAD, UNLOAD) or path.startswith("/console/api/") else key
        for headers in ({"authorization": f"bearer  {own} "}, {"x-api-key": own}):
            answer = await api.client.request(method, path, headers=headers)
            assert answer.status_code not in (401, 403), f"{method} {path}"
    for path in (LOAD, UNLOAD):
        assert (await api.post(path, {}, key)).json()["error"]["code"] == "admin_only"


async def test_health_and_ready_tell_nothing_to_strangers(guarded, api) -> None:
    assert (await api.client.get("/ready")).json()["model"] == "tiny"
    assert "tiny" not in (await guarded().client.get("/ready")).text


async def test_a_websocket_has_no_way_around(guarded) -> None:
    sent = []

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/responses", "headers": [], "query_string": b"", "subprotocols": []}
    await guarded().app(scope, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("path", GENERATING)
async def test_scopes_of_models_and_tools(guarded, path: str) -> None:
    api = guarded()
    answer = await api.post(path, GENERATING[path], api.key(scopes=Scopes(models=("big-*",))))
    assert answer.status_code == 403
    assert "tiny" in answer.json()["error"]["message"]
    assert (await api.post(path, GENERATING[path], api.key(scopes=Scopes(models=("ti*",))))).status_code == 200
    assert len(api.engine.requests) == 1


SHELL = {"name": "run_shell", "parameters": {"type": "object"}}
TOOLED = {
    CHAT: {"tools": [{"type": "function", "function": SHELL}]},
    "/v1/responses": {"tools": [{"type": "function", **SHELL}]},
    "/v1/messages": {"tools": [{"name": "run_shell", "input_schema": {"type": "object"}}]},
}


@pytest.mark.parametrize("path", TOOLED)
async def test_tools_that_a_key_may_not_offer(guarded, path: str) -> None:
    api = guarded()
    key = api.key(scopes=Scopes(tools=("read_*",)))
    answer = await api.post(path, {**GENERATING[path], **TOOLED[path]}, key)
    assert answer.status_code == 403
    assert "run_shell" in answer.json()["error"]["message"]
    assert not api.engine.requests


async def test_a_bearer_counts_before_an_api_key(guarded) -> None:
    api = guarded()
    key = api.key()
    for bearer, other, status in ((key, "dvt_a_b", 200), ("dvt_a_b", key, 401)):
        headers = {"authorization": f"Bearer {bearer}", "x-api-key": other}
        assert (await api.client.get("/v1/models", headers=headers)).status_code == status


async def test_what_is_being_answered_when_its_key_is_revoked_is_answered(guarded) -> None:
    begun, revoked = asyncio.Event(), asyncio.Event()

    def waits(request: Request) -> Iterator[Step]:
        begun.set()
        while not revoked.is_set():
            yield 0.01
        yield from hello(request)

    api = guarded(waits)
    key = api.key()
    asked = asyncio.create_task(api.post(CHAT, {**ASKED, "stream": True}, key))
    await begun.wait()
    api.database.call(lambda session: revoke_key(session, key.split("_")[1], now=time.time()))
    assert (await api.post(CHAT, ASKED, key)).status_code == 401
    revoked.set()
    answer = await asked
    assert answer.status_code == 200
    assert "wörld" in answer.text
    assert answer.text.rstrip().endswith("[DONE]")


async def test_nobody_is_let_in_while_keys_cannot_be_looked_up(guarded, monkeypatch) -> None:
    api = guarded()
    key = api.key()
    assert (await api.post(CHAT, ASKED, key)).status_code == 200

    async def fails(work: object) -> None:
        raise StoreError("The database is gone.")

    monkeypatch.setattr(api.database, "run", fails)
    assert (await api.post(CHAT, ASKED, key)).status_code == 503
    assert (await api.client.get("/health")).status_code == 200


async def test_a_batch_waits_for_its_quota(guarded) -> None:
    api = guarded(endless, retry_after_seconds=0.02)
    key = api.key(quota=Quota(streams=1))
    busy = asyncio.create_task(api.post(CHAT, {**ASKED, "stream": True, "max_tokens": 1500}, key))
    while not api.engine.running:  # noqa: ASYNC110 (the engine is another task's)
        await asyncio.sleep(0.01)
    batch = await begun_batch(api, key)
    while not (await api.used()) or (await api.used())[0][1] < 1:  # noqa: ASYNC110 (a count in a database)
        await asyncio.sleep(0.02)
    api.engine.script = hello
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    ended = await ended_batch(api, batch["id"], key)
    assert ended["request_counts"] == {"total": 1, "completed": 1, "failed": 0}


@pytest.mark.parametrize("path", GENERATING)
async def test_a_request_is_settled_with_what_it_came_to(guarded, path: str) -> None:
    api = guarded()
    key = api.key(quota=Quota(tokens_per_minute=3000, requests_per_minute=10))
    answer = await api.post(path, GENERATING[path], key)
    assert answer.status_code == 200
    if path == "/v1/messages":
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "10"
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "9"
        assert int(answer.headers["anthropic-ratelimit-tokens-remaining"]) < 3000
        assert answer.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    else:
        assert answer.headers["x-ratelimit-limit-requests"] == "10"
        assert answer.headers["x-ratelimit-remaining-requests"] == "9"
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 3000
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    [(requests, refused, prompt, completion)] = await api.used()
    assert (requests, refused) == (1, 0)
    assert prompt == len(api.engine.requests[0].prompt)
    assert completion in (ANSWER, len(BLOCK))
    after = await api.client.get("/v1/models", headers={"x-api-key": key})
    assert after.headers["x-ratelimit-remaining-tokens"] == str(3000 - prompt - completion)


async def test_requests_beyond_the_quota(guarded) -> None:
    api = guarded()
    key = api.key(quota=Quota(requests_per_minute=2))
    answers = [await api.post(CHAT, ASKED, key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 60 <= int(answers[2].headers["retry-after"]) <= 61
    assert answers[2].headers["x-ratelimit-remaining-requests"] == "0"
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    anthropic = await api.post("/v1/messages", {**ASKED, "max_tokens": 5}, key)
    assert anthropic.status_code == 429
    assert anthropic.json()["error"]["type"] == "rate_limit_error"
    assert (await api.post(CHAT, ASKED, api.key())).status_code == 200


async def test_the_official_clients_understand(guarded, make_live) -> None:
    api = guarded()
    live = await make_live(governance=api.governance)
    keys = [api.key(quota=Quota(requests_per_minute=1)) for _ in range(2)]
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key=keys[0], max_retries=0) as client:
        told = await client.chat.completions.with_raw_response.create(**ASKED)
        assert told.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(**ASKED)
        assert int(limited.value.response.headers["retry-after"]) >= 60
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="dvt_a_b").chat.completions.create(**ASKED)
        no_model = api.key(scopes=Scopes(models=()))
        with pytest.raises(openai.PermissionDeniedError):
            await client.with_options(api_key=no_model).chat.completions.create(**ASKED)
    async with anthropic.AsyncAnthropic(base_url=live.url, api_key=keys[1], max_retries=0) as client:
        assert (await client.messages.create(**ASKED, max_tokens=5)).content
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(**ASKED, max_tokens=5)
        with pytest.raises(anthropic.AuthenticationError):
            await client.with_options(api_key="dvt_a_b").messages.create(**ASKED, max_tokens=5)


async def test_an_answer_is_no_longer_than_the_quota_ever_lets_it_be(guarded) -> None:
    api = guarded()
    key = api.key(quota=Quota(tokens_per_minute=PROMPT + 4))
    answer = await api.post(CHAT, {**ASKED, "max_tokens": 1000}, key)
    assert answer.json()["choices"][0]["finish_reason"] == "length"
    assert api.engine.requests[0].sampling.max_tokens == 4
    assert (await api.post(CHAT, {**ASKED, "n": 2}, api.key(quota=Quota(tokens_per_minute=PROMPT + 9)))).json()
    assert api.engine.requests[1].sampling.max_tokens == 4
    too_long = await api.post(CHAT, ASKED, api.key(quota=Quota(tokens_per_minute=PROMPT)))
    assert (too_long.status_code, too_long.json()["error"]["code"]) == (400, "quota_too_small")
    window = await api.post(CHAT, ASKED, api.key(quota=Quota(context=PROMPT)))
    assert window.json()["error"]["code"] == "context_length_exceeded"


async def test_tokens_beyond_the_quota_of_a_group(guarded) -> None:
    api = guarded(file=AccessFile(groups={"team": Group(quota=Quota(tokens_per_minute=3 * PROMPT + 40))}))
    keys = [api.key(group="team") for _ in range(2)]
    answers = [await api.post(CHAT, {**ASKED, "max_tokens": 20}, keys[index % 2]) for index in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "tokens per minute" in answers[2].json()["error"]["message"]
    assert [line[:2] for line in sorted(await api.used())] == [(1, 0), (1, 1)]


async def test_a_client_that_leaves_pays_for_what_was_made(guarded) -> None:
    api = guarded(endless)
    key = api.key(quota=Quota(streams=1, tokens_per_minute=3000))
    leaving = asyncio.create_task(api.post(CHAT, {**ASKED, "stream": True, "max_tokens": 1500}, key))
    while not api.engine.running:  # noqa: ASYNC110 (the engine is another task's)
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    busy = await api.post(CHAT, ASKED, key)
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    api.engine.script = hello
    assert (await api.post(CHAT, {**ASKED, "max_tokens": 100}, key)).status_code == 200
    [(requests, refused, prompt, completion)] = await api.used()
    assert (requests, refused, prompt) == (2, 1, 2 * PROMPT)
    assert ANSWER < completion < 1000


async def test_what_fails_is_given_back(guarded) -> None:
    def fails(request: Request) -> Iterator[Step]:
        yield EngineError("no")

    api = guarded(fails)
    key = api.key(quota=Quota(streams=1, tokens_per_minute=3000))
    for body in (ASKED, {**ASKED, "stream": True}, {**ASKED, "temperature": "hot"}):
        await api.post(CHAT, body, key)
    levels = (await api.client.get("/v1/models", headers={"x-api-key": key})).headers
    assert levels["x-ratelimit-remaining-tokens"] == "3000"


async def test_a_background_response_is_settled_when_it_ends(guarded) -> None:
    def slow(request: Request) -> Iterator[Step]:
        yield 0.2
        yield from hello(request)

    api = guarded(slow)
    key = api.key(quota=Quota(streams=1))
    begun = await api.post("/v1/responses", {"input": "hi", "background": True}, key)
    assert begun.status_code == 200
    assert (await api.post(CHAT, ASKED, key)).status_code == 429
    path, headers = f"/v1/responses/{begun.json()['id']}", {"x-api-key": key}
    while (await api.client.get(path, headers=headers)).json()["status"] != "completed":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert (await api.post(CHAT, ASKED, key)).status_code == 200
    assert [line[:2] for line in await api.used()] == [(2, 1)]


async def test_200_clients_at_once_get_exactly_the_quota(guarded) -> None:
    def brief(request: Request) -> Iterator[Step]:
        yield 0.01
        yield from hello(request)

    api = guarded(brief, AccessFile(groups={"team": Group(quota=Quota(requests_per_minute=70, streams=16))}))
    keys = [api.key(group="team", quota=Quota(requests_per_minute=25, streams=8)) for _ in range(4)]
    most = 0

    async def one(index: int) -> tuple[str, int]:
        nonlocal most
        key = keys[index % 4]
        answer = await api.post(CHAT, {**ASKED, "stream": bool(index % 3)}, key)
        most = max(most, api.engine.running)
        return key, answer.status_code

    answers = await asyncio.gather(*(one(index) for index in range(200)))
    for key in keys:
        assert sum(answer == (key, 200) for answer in answers) <= 25
    assert {status for _, status in answers} == {200, 429}
    assert most <= 16
    assert sum(line[0] for line in await api.used()) == sum(status == 200 for _, status in answers)
    while (last := await api.post(CHAT, ASKED, keys[0])).status_code == 200:
        pass
    assert "requests per minute" in last.json()["error"]["message"]
    assert not api.engine.running


async def test_tenants_share_no_cached_prefixes(guarded, api) -> None:
    guard = guarded(file=AccessFile(groups={"team": Group()}))
    salts = []
    for fields in ({}, {}, {"group": "team"}, {"group": "team"}):
        key = guard.key(**fields)
        for own in (None, "mine"):
            await guard.post(CHAT, {**ASKED, "cache_salt": own}, key)
            salts.append(guard.engine.requests[-1].cache_salt)
    assert None not in salts
    assert len(set(salts[:4])) == 4
    assert salts[4:6] == salts[6:8]
    assert len(set(salts)) == 6
    await api.post(CHAT, ASKED)
    assert api.engine.requests[-1].cache_salt is None


async def test_tenants_do_not_see_each_others_objects(guarded) -> None:
    api = guarded(file=AccessFile(groups={"team": Group()}))
    one, other, member, mate = api.key(), api.key(), api.key(group="team"), api.key(group="team")
    made = {}
    for path, body in (
        ("/v1/responses", {"input": "hi"}),
        ("/v1/responses", {"input": "hi", "background": True}),
        ("/v1/conversations", {}),
        (CHAT, {**ASKED, "store": True}),
    ):
        for key in (one, member):
            answer = await api.post(path, body, key)
            made[f"{path}/{answer.json()['id']}"] = key
    for key in (one, member):
        batch = await begun_batch(api, key)
        made[f"/v1/files/{batch['input_file_id']}"] = key
        made[f"/v1/files/{batch['input_file_id']}/content"] = key
        made[f"/v1/batches/{batch['id']}"] = key
    assert len(made) == 14
    for path, key in made.items():
        for asking in (one, other, member, mate):
            mine = asking == key or {asking, key} == {member, mate}
            answer = await api.client.get(path, headers={"x-api-key": asking})
            assert answer.status_code == (200 if mine else 404), path
            if not mine:
                assert (await api.client.delete(path, headers={"x-api-key": asking})).status_code in (404, 405), path
    for path in ("/v1/files", "/v1/batches", CHAT):
        assert (await api.client.get(path, headers={"x-api-key": other})).json()["data"] == [], path
        assert (await api.client.get(path, headers={"x-api-key": mate})).json()["data"], path


async def begun_batch(api: Guarded, key: str) -> dict[str, object]:
    line = {"custom_id": "1", "method": "POST", "url": CHAT, "body": ASKED}
    files = {"file": ("a.jsonl", json.dumps(line).encode()), "purpose": (None, "batch")}
    file = await api.client.post("/v1/files", files=files, headers={"x-api-key": key})
    body = {"input_file_id": file.json()["id"], "endpoint": CHAT, "completion_window": "24h"}
    batch = await api.post("/v1/batches", body, key)
    assert batch.status_code == 200, batch.text
    assert "owner" not in batch.json()
    return batch.json()


async def ended_batch(api: Guarded, id: object, key: str) -> dict[str, object]:
    async with asyncio.timeout(60):
        while True:
            batch = (await api.client.get(f"/v1/batches/{id}", headers={"x-api-key": key})).json()
            if batch["status"] == "completed":
                return batch
            await asyncio.sleep(0.02)


async def test_a_batch_counts_for_its_owner(guarded) -> None:
    api = guarded()
    key = api.key(quota=Quota(tokens_per_minute=3000))
    batch = await begun_batch(api, key)
    assert (await ended_batch(api, batch["id"], key))["request_counts"]["completed"] == 1
    assert (await api.used()) == [(1, 0, PROMPT, ANSWER)]
    assert api.engine.requests[0].cache_salt == key.split("_")[1]


async def test_a_batch_goes_on_after_a_restart_for_its_owner_alone(guarded, tmp_path) -> None:
    def waits(request: Request) -> Iterator[Step]:
        yield 60.0

    first = guarded(waits, store=tmp_path / "store", keys=tmp_path / "keys")
    keys = [first.key(), first.key()]
    batches = [await begun_batch(first, key) for key in keys]
    while first.engine.running < 2:  # noqa: ASYNC110 (the engine is another task's)
        await asyncio.sleep(0.01)
    await first.app.state.batches.close()
    first.database.call(lambda session: revoke_key(session, keys[1].split("_")[1], now=time.time()))
    second = guarded(store=tmp_path / "store", keys=tmp_path / "keys")
    second.app.state.batches.resume()
    good = await ended_batch(second, batches[0]["id"], keys[0])
    assert good["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    await asyncio.sleep(0.1)
    assert [request.cache_salt for request in second.engine.requests] == [keys[0].split("_")[1]]
    await second.app.state.batches.close()


async def test_pages_of_other_origins_are_let_in_by_name_alone(guarded, api) -> None:
    page = {"origin": "https://ide.example", "access-control-request-method": "POST"}
    guard = guarded(cors_origins=("https://ide.example",))
    preflight = await guard.client.options(CHAT, headers={**page, "access-control-request-headers": "authorization"})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://ide.example"
    other = await guard.client.options(CHAT, headers={**page, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert (await guard.client.post(CHAT, json=ASKED, headers=page)).status_code == 401
    assert "access-control-allow-origin" not in (await api.client.options(CHAT, headers=page)).headers


async def test_too_many_headers(make_api) -> None:
    api = make_api(limits=Limits(headers=20))
    many = {f"x-{index}": "1" for index in range(20)}
    answer = await api.client.get("/v1/models", headers=many)
    assert (answer.status_code, answer.json()["error"]["code"]) == (431, "too_many_headers")


async def test_too_large_a_head(api) -> None:
    for headers, path in (
        ({"x-a": "1" * 40_000, "x-b": "1" * 30_000}, ""),
        ({"x-a": "1" * 60_000}, "?q=" + "1" * 6_000),
    ):
        answer = await api.client.get(f"/v1/models{path}", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "head_too_large")
    assert (await api.client.get("/v1/models", headers={"x-a": "1" * 60_000})).status_code == 200


async def test_a_body_that_does_not_come(make_api) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    for limits in (Limits(idle_seconds=0.001), Limits(body_seconds=0.1)):
        answer = await make_api(limits=limits).client.post(CHAT, content=dripping())
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "body_too_slow")


def test_durations() -> None:
    told = {0: "0ms", 0.25: "250ms", 1: "1s", 59.9: "59s", 60: "1m0s", 3600: "1h0m0s", 86_400: "24h0m0s"}
    assert {seconds: duration(seconds) for seconds in told} == told
