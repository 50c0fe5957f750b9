"""Stored chat completions: listed, read, relabelled, deleted; and the messages they answered. Makes none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse

from dovetail.serve.api.chat.body import Metadata
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.records import Records
from dovetail.serve.errors import UserError

KIND, MESSAGES = "chat.completion", "chat.completion.messages"
MAX_PAGE = 100
_METADATA = re.compile(r"metadata\[(.+)\]")


class RelabelBody(BaseModel):
    """What of a stored completion can change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    metadata: Metadata | None


class StoredCompletions:
    """Completions that were to be stored."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def keep(self, completion: dict[str, Any], messages: list[Any]) -> None:
        """Store an answer, and what it answers."""
        self._records.put(KIND, completion["id"], completion)
        self._records.put(MESSAGES, completion["id"], {"messages": messages})
        await self._records.written()

    def routes(self, endpoint: str, limit: int) -> APIRouter:
        """The endpoints under ``endpoint``; bodies have at most ``limit`` bytes."""
        router = APIRouter()

        @router.get(endpoint)
        async def list_stored(http: HttpRequest) -> Response:
            found = await self._records.aside(self._matching, http.query_params)
            return JSONResponse(page(found, http.query_params))

        @router.get(endpoint + "/{id}")
        async def one(id: str) -> Response:
            return JSONResponse(await self._records.aside(self._found, id))

        @router.post(endpoint + "/{id}")
        async def relabel(id: str, http: HttpRequest) -> Response:
            completion = await self._records.aside(self._found, id)
            body = check(RelabelBody, await read_object(http, limit))
            completion = {**completion, "metadata": body.metadata or {}}
            self._records.put(KIND, id, completion)
            await self._records.written()
            return JSONResponse(completion)

        @router.delete(endpoint + "/{id}")
        async def delete(id: str) -> Response:
            await self._records.aside(self._drop, id)
            await self._records.written()
            return JSONResponse({"id": id, "object": "chat.completion.deleted", "deleted": True})

        @router.get(endpoint + "/{id}/messages")
        async def messages(id: str, http: HttpRequest) -> Response:
            kept = await self._records.aside(self._messages, id)
            listed = [{"id": f"{id}-{index}", **message} for index, message in enumerate(kept["messages"])]
            return JSONResponse(page(listed, http.query_params))

        return router

    def _found(self, id: str) -> dict[str, Any]:
        completion = self._records.get(KIND, id)
        if completion is None:
            raise UserError(f"There is no stored chat completion {id!r}.", status=404, code="not_found", param="id")
        return completion

    def _drop(self, id: str) -> None:
        self._found(id)
        self._records.delete(KIND, id)
        self._records.delete(MESSAGES, id)

    def _messages(self, id: str) -> dict[str, Any]:
        self._found(id)
        return self._records.get(MESSAGES, id) or {"messages": []}

    def _matching(self, query: QueryParams) -> list[dict[str, Any]]:
        wanted = {found[1]: value for key, value in query.items() if (found := _METADATA.fullmatch(key))}
        model = query.get("model")

        def fits(completion: dict[str, Any]) -> bool:
            labels = completion.get("metadata") or {}
            named = model in (None, completion["model"])
            return named and all(labels.get(key) == text for key, text in wanted.items())

        return [completion for completion in self._records.of_kind(KIND) if fits(completion)]


def page(items: Iterable[dict[str, Any]], query: QueryParams, *, most: int = MAX_PAGE) -> dict[str, Any]:
    """One page, of ``most`` items at most, of ``items``, which come oldest first: ``order``, ``limit``, ``after``."""
    order = query.get("order", "asc")
    if order not in ("asc", "desc"):
        refuse("order", "must be asc or desc")
    limit = query.get("limit", "20")
    if not re.fullmatch("[0-9]{1,6}", limit) or not 1 <= int(limit) <= most:
        refuse("limit", f"must be between 1 and {most}")
    ordered = list(items) if order == "asc" else list(items)[::-1]
    after = query.get("after")
    if after is not None:
        places = [index for index, item in enumerate(ordered) if item["id"] == after]
        if not places:
            refuse("after", f"there is no {after!r} in this list")
        ordered = ordered[places[0] + 1 :]
    data = ordered[: int(limit)]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > len(data),
    }
