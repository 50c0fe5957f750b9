"""/v1/files and /v1/batches, as OpenAI's clients call them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse

from dovetail.serve.api.access.inside import OWNER
from dovetail.serve.api.batches.batch import BatchBody
from dovetail.serve.api.batches.files import Files
from dovetail.serve.api.batches.runner import Batches
from dovetail.serve.api.batches.upload import read_upload
from dovetail.serve.api.chat.stored import page
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.records import Record
from dovetail.serve.errors import UserError

FILES, BATCHES = "/v1/files", "/v1/batches"
MAX_FILES = 10_000


def file_routes(context: ApiContext, files: Files, batches: Batches) -> APIRouter:
    """Files: uploaded, listed, read, deleted."""
    router = APIRouter()
    aside = files.aside

    @router.post(FILES)
    async def upload(http: HttpRequest) -> Response:
        file = await read_upload(http, context.settings.max_file_bytes)
        added = files.add(file.purpose, file.filename, file.text, expire_after=file.expire_after)
        await files.written()
        return JSONResponse(added, headers=context.ignored_header(http, file.ignored))

    @router.get(FILES)
    async def list_files(http: HttpRequest) -> Response:
        query = http.query_params
        listed = await aside(files.listed, query.get("purpose"))
        return JSONResponse(page(listed, _newest_first(query), most=MAX_FILES))

    @router.get(FILES + "/{id}")
    async def one(id: str) -> Response:
        return JSONResponse(await aside(files.find, id))

    @router.get(FILES + "/{id}/content")
    async def content(id: str) -> Response:
        text = await aside(files.text, id)
        return Response(text.encode(), media_type="application/jsonl")

    @router.delete(FILES + "/{id}")
    async def delete(id: str) -> Response:
        await aside(files.find, id)
        if await aside(batches.reads, id):
            raise UserError(f"A batch still reads {id!r}; cancel it first.", status=409, code="file_in_use", param="id")
        await aside(files.drop, id)
        await files.written()
        return JSONResponse({"id": id, "object": "file", "deleted": True})

    return router


def batch_routes(context: ApiContext, files: Files, batches: Batches) -> APIRouter:
    """Batches: made, listed, looked at, cancelled."""
    router = APIRouter()

    @router.post(BATCHES)
    async def create(http: HttpRequest) -> Response:
        body = check(BatchBody, await read_object(http, context.settings.max_body_bytes))
        ignored = ignored_fields(body)
        return JSONResponse(_shown(await batches.create(body)), headers=context.ignored_header(http, ignored))

    @router.get(BATCHES)
    async def list_batches(http: HttpRequest) -> Response:
        listed = [_shown(batch) for batch in await files.aside(batches.listed)]
        return JSONResponse(page(listed, _newest_first(http.query_params)))

    @router.get(BATCHES + "/{id}")
    async def one(id: str) -> Response:
        return JSONResponse(_shown(await files.aside(batches.find, id)))

    @router.post(BATCHES + "/{id}/cancel")
    async def cancel(id: str) -> Response:
        return JSONResponse(_shown(await batches.cancel(id)))

    return router


def _shown(batch: Record) -> dict[str, Any]:
    """What the client is told: not how long the files are kept, which they say themselves, nor who it is."""
    return {name: value for name, value in batch.items() if name not in ("output_expires_after", OWNER)}


def _newest_first(query: QueryParams) -> QueryParams:
    return QueryParams({"order": "desc", **query})
