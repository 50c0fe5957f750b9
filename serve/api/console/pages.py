"""The console's files over HTTP: the same bytes for everybody, under a policy that lets the page do nothing but ask this server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response

from dovetail.serve.console.files import PATHS, asset

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""No script and no style but from the files; no markup from strings, whatever a script tries; no other host, and no frame around."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Asked again each time, answered with a 304 while it is the same: a new version is never mixed with an old one.
    "cache-control": "no-cache",
}


def routes() -> APIRouter:
    """One route for each file: what is not in the list does not exist."""
    router = APIRouter(include_in_schema=False)
    for path, name in PATHS.items():
        router.add_api_route(path, _page(name), methods=["GET", "HEAD"])
    return router


def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        found = asset(name)
        headers = {**HEADERS, "etag": found.tag}
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    return page
