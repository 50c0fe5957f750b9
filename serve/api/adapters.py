"""POST /v1/load_lora_adapter and /v1/unload_lora_adapter, as vLLM names them: adapters that come and go, for administrators.

A directory is read only from below the folder that the deployment has set aside for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse

from dovetail.serve.api.access.admin import Admit
from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.hosted import Hosted, Models
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.base import Adapting
from dovetail.serve.errors import UserError
from dovetail.serve.govern.access.access import require_admin
from dovetail.serve.govern.weights.files import digests_of
from dovetail.serve.govern.weights.signature import require_signed

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
_NAME = r"^[^\s=:,*]{1,128}$"


class LoadBody(BaseModel):
    """``lora_path``: a directory, absolute or below the folder of adapters. ``model``: whose adapter it is; the first one's by
    default. ``load_inplace``: it takes the place of one of the same name."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    lora_name: str = Field(pattern=_NAME)
    lora_path: str = Field(min_length=1)
    load_inplace: bool = False
    model: str | None = None


class UnloadBody(BaseModel):
    """``lora_int_id``: vLLM's own number, which means nothing here."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    lora_name: str
    lora_int_id: int | None = None


async def administrators(http: HttpRequest) -> None:
    """Whoever the guard has let in must be an administrator."""
    require_admin(visiting().principal)


def routes(models: Models, settings: ApiSettings, admit: Admit = administrators) -> APIRouter:
    """Both endpoints."""
    router = APIRouter()
    changing = asyncio.Lock()

    @router.post(LOAD)
    async def load(http: HttpRequest) -> Response:
        await admit(http)
        body = check(LoadBody, await read_object(http, settings.max_body_bytes))
        path = await asyncio.to_thread(_adapter_folder, settings, body.lora_path)
        async with changing:
            known = models.find(body.lora_name)
            parent = _parent(models, body.model if known is None else known.parent)
            if known is not None and (known.parent is None or not body.load_inplace):
                raise UserError(
                    f"The name {body.lora_name!r} is taken; unload that adapter first, or set load_inplace.",
                    code="name_taken",
                    param="lora_name",
                )
            await _engine(parent).load_adapter(body.lora_name, path)
            models.add_adapter(body.lora_name, parent, path)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    @router.post(UNLOAD)
    async def unload(http: HttpRequest) -> Response:
        await admit(http)
        body = check(UnloadBody, await read_object(http, settings.max_body_bytes))
        async with changing:
            known = models.find(body.lora_name)
            if known is None or known.parent is None:
                raise UserError(
                    f"There is no adapter {body.lora_name!r} here.",
                    status=404,
                    code="model_not_found",
                    param="lora_name",
                )
            models.remove(body.lora_name)
            await _engine(known).unload_adapter(body.lora_name)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    return router


def _adapter_folder(settings: ApiSettings, given: str) -> Path:
    """The directory that is meant, if it lies where adapters may, and is signed where models have to be."""
    root = settings.lora_folder
    if root is None:
        raise UserError(
            "This server takes no adapters while it runs; its operator would have to start it with --lora-folder DIR.",
            code="unsupported_parameter",
            param="lora_path",
        )
    path = (root / given).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_dir():
        raise UserError(
            f"There is no directory {given!r} in the folder of adapters.", code="bad_adapter", param="lora_path"
        )
    if settings.require_signature is not None:
        require_signed(path, digests_of(path), settings.require_signature)
    return path


def _parent(models: Models, name: str | None) -> Hosted:
    parent = models.first if name is None else models.find(name)
    if parent is None or parent.parent is not None:
        raise UserError(f"There is no model {name!r} here.", status=404, code="model_not_found", param="model")
    return parent


def _engine(hosted: Hosted) -> Adapting:
    if not isinstance(hosted.engine, Adapting):
        raise UserError(
            f"The engine of {hosted.parent or hosted.served.name} takes no adapters while it runs.",
            code="unsupported_parameter",
            param="model",
        )
    return hosted.engine
