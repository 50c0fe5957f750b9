"""/v1/conversations: lists of items that responses read from and add to."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse

from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.fields import extra_fields
from dovetail.serve.api.http.wire import as_list
from dovetail.serve.api.responses.archive import not_found
from dovetail.serve.api.responses.items import Item, read_input
from dovetail.serve.api.responses.listing import page
from dovetail.serve.api.responses.making import Responses

ENDPOINT = "/v1/conversations"
ONE = ENDPOINT + "/{conversation_id}"


class ConversationBody(BaseModel):
    """The body of a new conversation, of new items, or of new metadata."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    items: list[Any] | None = None
    metadata: dict[str, str] | None = None


def routes(shared: Responses) -> APIRouter:
    """The endpoints."""
    router = APIRouter()
    archive = shared.archive
    limit = shared.context.settings.max_body_bytes

    @router.post(ENDPOINT)
    async def create(http: HttpRequest) -> Response:
        body = check(ConversationBody, await read_object(http, limit))
        conversation = archive.new_conversation(_items(body.items or []), body.metadata or {})
        await archive.written()
        return JSONResponse(conversation, headers=shared.context.ignored_header(http, extra_fields(body)))

    @router.get(ONE)
    async def retrieve(conversation_id: str) -> Response:
        return JSONResponse(await archive.aside(archive.conversation, conversation_id))

    @router.post(ONE)
    async def update(http: HttpRequest, conversation_id: str) -> Response:
        body = check(ConversationBody, await read_object(http, limit))
        conversation = await archive.aside(archive.describe, conversation_id, body.metadata or {})
        await archive.written()
        return JSONResponse(conversation, headers=shared.context.ignored_header(http, extra_fields(body)))

    @router.delete(ONE)
    async def delete(conversation_id: str) -> Response:
        await archive.aside(archive.drop_conversation, conversation_id)
        await archive.written()
        return JSONResponse({"id": conversation_id, "object": "conversation.deleted", "deleted": True})

    @router.get(f"{ONE}/items")
    async def list_items(http: HttpRequest, conversation_id: str) -> Response:
        items = await archive.aside(archive.conversation_items, conversation_id)
        return JSONResponse(page(items, http.query_params))

    @router.post(f"{ONE}/items")
    async def add_items(http: HttpRequest, conversation_id: str) -> Response:
        body = check(ConversationBody, await read_object(http, limit))
        await archive.aside(archive.conversation, conversation_id)
        items = _items(as_list(body.items, "items"))
        await archive.aside(archive.append, conversation_id, items)
        await archive.written()
        return JSONResponse(
            {
                "object": "list",
                "data": items,
                "first_id": items[0]["id"] if items else None,
                "last_id": items[-1]["id"] if items else None,
                "has_more": False,
            },
            headers=shared.context.ignored_header(http, extra_fields(body)),
        )

    @router.get(ONE + "/items/{item_id}")
    async def one_item(conversation_id: str, item_id: str) -> Response:
        for item in await archive.aside(archive.conversation_items, conversation_id):
            if item["id"] == item_id:
                return JSONResponse(item)
        raise not_found(f"conversation {conversation_id!r} has no item", item_id)

    @router.delete(ONE + "/items/{item_id}")
    async def delete_item(conversation_id: str, item_id: str) -> Response:
        conversation = await archive.aside(archive.drop_item, conversation_id, item_id)
        await archive.written()
        return JSONResponse(conversation)

    return router


def _items(value: list[Any]) -> list[Item]:
    return read_input(value, "items")
