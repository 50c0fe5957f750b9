"""GET /v1/system-card: what runs here, measured here. In JSON, Markdown, HTML, CycloneDX, or signed; earlier ones by their names."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from dovetail.serve.errors import EngineError, UserError
from dovetail.serve.govern.card.document import Card
from dovetail.serve.govern.card.facts import software
from dovetail.serve.govern.card.keeper import CardKeeper
from dovetail.serve.govern.card.markdown import blocks, style_source, to_html, to_markdown
from dovetail.serve.govern.card.mlbom import to_cyclonedx
from dovetail.serve.govern.card.schema import SCHEMA
from dovetail.serve.govern.dsse import KeyProblem

ENDPOINT = "/v1/system-card"
FORMATS = ("json", "markdown", "html", "cyclonedx", "dsse", "blocks")


def routes(keeper: CardKeeper) -> APIRouter:
    """The card, its schema, its history."""
    router = APIRouter()

    @router.get(ENDPOINT)
    async def card(http: HttpRequest, format: str | None = None) -> Response:
        wanted = _wanted(http, format)
        return await asyncio.to_thread(_shown, keeper, keeper.card, wanted)

    @router.get(f"{ENDPOINT}/schema")
    async def schema(http: HttpRequest) -> Response:
        return JSONResponse(SCHEMA, media_type="application/schema+json")

    @router.get(f"{ENDPOINT}/history")
    async def history(http: HttpRequest) -> Response:
        kept = await asyncio.to_thread(keeper.history)
        return JSONResponse({"object": "list", "data": kept})

    @router.get(ENDPOINT + "/{name}")
    async def earlier(http: HttpRequest, name: str, format: str | None = None) -> Response:
        wanted = _wanted(http, format)

        def found() -> Card:
            kept = keeper.earlier(name)
            if kept is None:
                raise UserError(
                    f"There is no card {name!r} here; {ENDPOINT}/history lists those that are kept.",
                    status=404,
                    code="card_not_found",
                    param="name",
                )
            return kept

        return await asyncio.to_thread(_shown, keeper, found, wanted)

    return router


def _wanted(http: HttpRequest, named: str | None) -> str:
    if named is None:
        accepted = http.headers.get("accept", "")
        return "html" if "text/html" in accepted else "markdown" if "text/markdown" in accepted else "json"
    if named not in FORMATS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}, not {named!r}.", param="format")
    return named


def _shown(keeper: CardKeeper, make: Any, wanted: str) -> Response:
    card: Card = make()
    if wanted == "markdown":
        return PlainTextResponse(to_markdown(card), media_type="text/markdown")
    if wanted == "html":
        policy = f"default-src 'none'; style-src {style_source()}; base-uri 'none'; form-action 'none'"
        return HTMLResponse(to_html(card), headers={"content-security-policy": policy})
    if wanted == "blocks":
        return JSONResponse({"id": card["id"], "stale": card["stale"], "blocks": blocks(card)})
    if wanted == "cyclonedx":
        return JSONResponse(to_cyclonedx(card, software()[0]), media_type="application/vnd.cyclonedx+json")
    if wanted == "dsse":
        try:
            envelope = keeper.signed(card)
        except KeyProblem as error:
            raise EngineError(f"The card cannot be signed: {error}.", code="card_key") from error
        if envelope is None:
            raise UserError(
                "Cards of this server are not signed; it was started without --card-key.",
                status=404,
                code="not_signed",
                param="format",
            )
        return JSONResponse(envelope)
    return JSONResponse(card)
