"""Every route is guarded, those of administrators doubly; what is open tells strangers nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import httpx
import pytest
from guarded_api import ASKED, CHAT, GENERATING
from starlette.routing import Route

from dovetail.serve.api import adapters
from dovetail.serve.api.access.admin import create_admin_app
from dovetail.serve.api.access.guard import OPEN
from dovetail.serve.api.adapters import LOAD, UNLOAD
from dovetail.serve.api.console import endpoints as console
from dovetail.serve.api.console import pages
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.govern.principal import Scopes

WEB = Path(__file__).parents[4] / "serve/console/web"
CONSOLE = {
    "/" if file.name == "index.html" else f"/console/{file.name}": file for file in WEB.iterdir() if file.is_file()
}
CONSOLE_ASKS = ("session", "live", "keys", "usage", "audit")


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
