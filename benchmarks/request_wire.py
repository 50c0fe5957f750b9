"""Requests as they go over the wire: bodies for every endpoint, every other route, uploads, administrators' routes, heads that are wrong.

Sends nothing. A request is made again from its number and what it may know: a key, and ids of things that are there.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from request_bodies import BODIES, damage, damaged, written

Headers = list[tuple[str, str | bytes]]

CONSOLE = tuple(
    ("GET", f"/console{path}")
    for path in ("", "/{page}", "/api/session", "/api/live", "/api/keys", "/api/usage", "/api/audit")
)
ROUTES: Sequence[tuple[str, str]] = (
    *(("GET", path) for path in ("/health", "/ready", "/metrics", "/v1/models", "/v1/models/{model}", "/api/hello")),
    ("GET", "/v1/chat/completions"),
    ("GET", "/v1/chat/completions/{completion}"),
    ("POST", "/v1/chat/completions/{completion}"),
    ("DELETE", "/v1/chat/completions/{completion}"),
    ("GET", "/v1/chat/completions/{completion}/messages"),
    ("GET", "/v1/responses"),
    ("GET", "/v1/responses/{response}"),
    ("DELETE", "/v1/responses/{response}"),
    ("POST", "/v1/responses/{response}/cancel"),
    ("GET", "/v1/responses/{response}/input_items"),
    ("GET", "/v1/conversations/{conversation}"),
    ("POST", "/v1/conversations/{conversation}"),
    ("DELETE", "/v1/conversations/{conversation}"),
    ("GET", "/v1/conversations/{conversation}/items"),
    ("POST", "/v1/conversations/{conversation}/items"),
    ("GET", "/v1/conversations/{conversation}/items/{item}"),
    ("DELETE", "/v1/conversations/{conversation}/items/{item}"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/{file}"),
    ("GET", "/v1/files/{file}/content"),
    ("DELETE", "/v1/files/{file}"),
    *(("GET", f"/v1/system-card{path}") for path in ("", "/schema", "/history", "/{card}")),
    ("GET", "/v1/batches"),
    ("GET", "/v1/batches/{batch}"),
    ("POST", "/v1/batches/{batch}/cancel"),
    *CONSOLE,
)
ADMIN: Sequence[tuple[str, str]] = (
    *(("GET", path) for path in ("/health", "/metrics", "/keys", "/usage")),
    ("POST", "/keys"),
    ("POST", "/keys/{key}/rotate"),
    ("DELETE", "/keys/{key}"),
    *CONSOLE,
)
ROUTE_BODIES = {
    "completion": {"metadata": {"a": "b"}},
    "conversation": {"metadata": {"a": "b"}, "items": [{"role": "user", "content": "a"}]},
    "": {
        "name": "n",
        "group": None,
        "scopes": {"models": ["*"], "endpoints": ["/v1/*"], "tools": ["*"], "admin": False},
        "quota": {"requests_per_minute": 5, "tokens_per_day": 5, "streams": 1, "context": 9},
        "expires_seconds": 60,
        "grace_seconds": 1,
    },
}
QUERY = (
    "limit",
    "after",
    "order",
    "model",
    "metadata[a]",
    "stream",
    "starting_after",
    "include",
    "purpose",
    "by",
    "since",
    "before",
    "kind",
    "who",
    "x",
)


@dataclass(frozen=True)
class Wire:
    """``head`` alone is HTTP or not; ``broken``: it is not, and the connection may just be closed; ``left``: nobody waits for the answer."""

    label: str
    head: bytes
    body: bytes = b""
    admin: bool = False
    broken: bool = False
    left: bool = False


@dataclass(frozen=True)
class Known:
    """What requests may name: a key that opens everything, and ids by kind."""

    key: str
    ids: Mapping[str, Sequence[str]]


def wire(number: int, known: Known) -> Wire:
    """Request ``number``."""
    chance = random.Random(number)
    kinds: list[Callable[[random.Random, Known], Wire]] = [_body, _route, _upload, _head, _admin]
    return chance.choices(kinds, [70, 10, 6, 8, 6])[0](chance, known)


def plain(method: str, target: str, headers: Headers, body: bytes, label: str = "", **more: bool) -> Wire:
    """A request that is HTTP."""
    lines = [f"{method} ".encode() + target.encode("latin-1", "replace") + b" HTTP/1.1", b"host: fuzz"]
    lines += [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in headers
    ]
    if method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d" % len(body))
    return Wire(label or f"{method} {target}", b"\r\n".join(lines) + b"\r\n\r\n", body, **more)


def _credentials(chance: random.Random, known: Known) -> Headers:
    kind = chance.random()
    if kind < 0.95:
        return [("authorization", f"Bearer {known.key}")]
    wrong: Headers = [
        ("authorization", "Bearer"),
        ("authorization", "Bearer " + "x" * 60_000),
        ("authorization", "Basic Og=="),
        ("authorization", "Bearer eyJhbGciOiJub25lIn0.e30."),
        ("authorization", "Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLyJ9." + "e30." * 50),
        ("authorization", b"Bearer \xff\xfe"),
        ("x-api-key", known.key[:-1]),
        ("x-api-key", ""),
        ("x-api-key", known.key + "\t"),
    ]
    return [] if kind < 0.96 else [chance.choice(wrong)]


def _body(chance: random.Random, known: Known) -> Wire:
    endpoint = chance.choice(sorted(BODIES))
    content = written(chance, damaged(chance, endpoint))
    headers = [*_credentials(chance, known), ("content-type", "application/json")]
    if chance.random() < 0.05:
        headers.append(("x-dovetail-session", "s" * chance.choice([1, 20_000])))
    return plain("POST", endpoint.partition("#")[0], headers, content, left=chance.random() < 0.03)


def _filled(chance: random.Random, template: str, known: Known) -> tuple[str, str]:
    """A route with an id in its place; and the kind of it."""
    kind = ""
    while "{" in template:
        kind = template.split("{", 1)[1].split("}", 1)[0]
        there = known.ids.get(kind, ())
        wrong = [
            "x",
            "..",
            "%00",
            "%2e%2e%2f",
            "a" * 5000,
            quote("é\udcff", errors="surrogateescape"),
            "1' OR '1",
            "%",
            "",
        ]
        value = chance.choice(there) if there and chance.random() < 0.6 else chance.choice(wrong)
        template = template.replace(f"{{{kind}}}", value.replace(" ", "+"), 1)
    return template, kind


def _query(chance: random.Random) -> str:
    values = [
        "",
        "1",
        "-1",
        "0",
        "9" * 400,
        "1e9",
        "\u0661",
        "true",
        "desc",
        "key",
        "day",
        "x" * 9000,
        "%00",
        "%ff",
        "a=b&&&",
        "\u00b2",
    ]
    parts = [
        f"{chance.choice(QUERY)}={quote(chance.choice(values), safe='%=&')}"
        for _ in range(chance.choice([0, 0, 1, 2, 60]))
    ]
    return "?" + "&".join(parts) if parts else ""


def _route(chance: random.Random, known: Known) -> Wire:
    method, template = chance.choice(ROUTES)
    target, kind = _filled(chance, template, known)
    if chance.random() < 0.05:
        method = chance.choice(["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "FOO"])
    body = dict(ROUTE_BODIES.get(kind, {}))
    if body and chance.random() < 0.8:
        damage(chance, body)
    headers = [*_credentials(chance, known), ("anthropic-version", "2023-06-01")]
    content = written(chance, body) if method == "POST" else b""
    return plain(method, target + _query(chance), headers, content, label=f"{method} {template}")


def _admin(chance: random.Random, known: Known) -> Wire:
    method, template = chance.choice(ADMIN)
    target, _ = _filled(chance, template, known)
    body = {
        name: value
        for name, value in ROUTE_BODIES[""].items()
        if chance.random() < (0.5 if "rotate" in target else 0.9)
    }
    if "rotate" not in target:
        body.pop("grace_seconds", None)
    if chance.random() < 0.8 and body:
        damage(chance, body)
    if chance.random() < 0.1:
        body[chance.choice(["expires_seconds", "grace_seconds"])] = 10 ** chance.choice([9, 15, 100, 400])
    content = written(chance, body) if method == "POST" else b""
    return plain(method, target + _query(chance), [], content, label=f"{method} admin {template}", admin=True)


def _upload(chance: random.Random, known: Known) -> Wire:
    edge = chance.choice(["e", "e", "e", "e" * 70, "", "é"])
    lines = [
        json.dumps(
            {
                "custom_id": str(each),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": damaged(chance, "/v1/chat/completions"),
            }
        )
        for each in range(chance.choice([0, 1, 1, 1, 2, 2, 2, 20]))
    ]
    if lines and chance.random() < 0.4:
        lines[0] = chance.choice(["", "{", "[]", "null", '{"custom_id": 1}', "\ufeff", "{" * 5000, '{"a":' * 2000])
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        text = chance.choice([b"\xff\xfe", b"\x00" * 100, b"\n" * 10**5, b"x" * 10**6, b"{}\n" * 60_000])
    purpose = chance.choice([b"batch", b"batch", b"batch", b"fine-tune", b"\xff", b"x" * 70_000])
    names = ["b.jsonl", "b.jsonl", "../../etc/passwd", "\x00", "a" * 5000, 'x"; name="purpose']
    parts = [
        b'content-disposition: form-data; name="purpose"\r\n\r\n' + purpose,
        f'content-disposition: form-data; name="file"; filename="{chance.choice(names)}"\r\ncontent-type: x\r\n\r\n'.encode()
        + text,
    ]
    for _ in range(chance.choice([0, 0, 0, 1, 40])):
        parts.append(
            b'content-disposition: form-data; name="expires_after[seconds]"\r\n\r\n'
            + b"9" * chance.choice([4, 6, 5000])
        )
    content = (
        b"".join(b"--" + edge.encode() + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + edge.encode() + b"--\r\n"
    )
    if chance.random() < 0.1:
        content = content[: chance.randrange(len(content))]
    kind = chance.choice(
        [f"multipart/form-data; boundary={edge}"] * 6
        + ["multipart/form-data", "text/plain", "multipart/form-data; boundary=z"]
    )
    return plain("POST", "/v1/files", [*_credentials(chance, known), ("content-type", kind)], content)


def _head(chance: random.Random, known: Known) -> Wire:
    """What is wrong with HTTP itself, and what is only unusual."""
    body = json.dumps({"prompt": "a", "max_tokens": 2}).encode()
    key: Headers = [("authorization", f"Bearer {known.key}")]
    start = f"POST /v1/completions HTTP/1.1\r\nhost: fuzz\r\nauthorization: Bearer {known.key}\r\n".encode()
    broken = [
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 500,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
        start + b"content-length: -1\r\n\r\n" + body,
        start + b"content-length: 5\r\ncontent-length: 6\r\n\r\n" + body,
        start + b"content-length: " + b"9" * 30 + b"\r\n\r\n" + body,
        start + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        start + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        start + b"transfer-encoding: gzip\r\n\r\n" + body,
        start + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
        start + b"content-length: 500\r\n\r\n" + body,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    unusual: list[tuple[str, str, Headers, bytes]] = [
        ("POST", "/v1/completions", [("content-type", "text/plain; charset=utf-7")], body),
        ("POST", "/v1/completions", [("content-encoding", "gzip")], body),
        ("POST", "/v1/completions", [("expect", "100-continue")], body),
        ("POST", "/v1/completions", [*((f"x-{each}", "a") for each in range(150))], body),
        ("GET", "/v1/models", [("connection", "upgrade"), ("upgrade", "websocket")], b""),
        (
            "GET",
            "/v1/responses",
            [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "a")],
            b"",
        ),
        ("GET", "/v1/models", [("connection", "upgrade, http2-settings"), ("upgrade", "h2c")], b""),
        ("GET", "/v1/models", [("x-request-id", b"\xff\xe9" * 50)], b""),
        ("GET", "/v1/models", [("x-request-id", "a" * 20_000)], b""),
        ("GET", "/v1/models", [("origin", "http://evil"), ("cookie", "a" * 9000)], b""),
        ("GET", "//v1//models", [], b""),
        ("GET", "/v1/models/../../metrics", [], b""),
        ("GET", "/%2e%2e/%00", [], b""),
        ("GET", "http://elsewhere/v1/models", [], b""),
        ("OPTIONS", "*", [], b""),
        ("DELETE", "/v1/completions", [], b""),
        ("POST", "/v1/nothing", [], body * 1000),
        ("POST", "/v1/completions", [], b"x" * chance.choice([0, 0, 0, 9_000_000])),
    ]
    if chance.random() < 0.5:
        return Wire("broken head", chance.choice(broken), broken=True)
    method, target, headers, content = chance.choice(unusual)
    return plain(method, target, [*key, *headers], content)
