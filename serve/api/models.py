"""/v1/models: the models of this server, as OpenAI's, Anthropic's and Codex's clients list it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.hosted import Hosted

CODEX_INSTRUCTIONS = (
    "You are a coding agent that works in the user's repository through the tools you are given. "
    "Look at the code before you change it. Make the smallest change that does what was asked{tool}, and keep to "
    "the style of the files. Run the tests or the program where you can. Say at the end, in a few sentences, what you changed "
    "and what you could not check."
)
"""What Codex (whose tool for changes may be named) puts before every conversation: it takes no catalogue entry without it."""

_EFFORTS = ("low", "medium", "high")


def routes(context: ApiContext) -> APIRouter:
    """The list and its entries."""
    router = APIRouter()

    @router.get("/v1/models")
    async def list_models(request: Request) -> Response:
        if "anthropic-version" in request.headers:
            entries = [_anthropic_entry(each) for each in context.usable if each.served.generates]
            ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
            return JSONResponse({"data": entries, "first_id": None, "last_id": None, **ends, "has_more": False})
        # ``models`` is the catalogue that Codex reads; other clients read ``data`` alone.
        catalogue = [_codex_entry(each) for each in context.usable if each.served.generates]
        return JSONResponse({"object": "list", "data": [_entry(each) for each in context.usable], "models": catalogue})

    @router.get("/v1/models/{name:path}")
    async def one_model(request: Request, name: str) -> Response:
        context.require_model(name)
        if "anthropic-version" in request.headers:
            return JSONResponse(_anthropic_entry(context.hosted))
        return JSONResponse(_entry(context.hosted))

    return router


def _entry(hosted: Hosted) -> dict[str, Any]:
    served = hosted.served
    parent = {"parent": hosted.parent} if hosted.parent is not None else {}
    licence = {"license": served.licence} if served.licence else {}
    size = {"embedding_length": served.embedding.size} if served.embedding is not None else {}
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "dovetail",
        "context_length": served.max_model_len,
        "max_model_len": served.max_model_len,
        "capabilities": list(served.capabilities),
        **size,
        **licence,
        **parent,
    }


def _anthropic_entry(hosted: Hosted) -> dict[str, Any]:
    served = hosted.served
    return {
        "type": "model",
        "id": served.name,
        "display_name": served.name,
        "created_at": datetime.fromtimestamp(served.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": served.max_model_len,
        "max_tokens": served.max_model_len,
    }


def _codex_entry(hosted: Hosted) -> dict[str, Any]:
    """Every field but those of the last group is required: without one of them Codex refuses the whole catalogue."""
    served = hosted.served
    # Its apply_patch comes with a Lark grammar, which a model that writes inputs inside JSON cannot be held to.
    patches = served.dialect is None or served.dialect.plain_inputs
    return {
        "slug": served.name,
        "display_name": served.name,
        "supported_reasoning_levels": [{"effort": effort, "description": effort} for effort in _EFFORTS],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": 1,
        "support_verbosity": False,
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "experimental_supported_tools": [],
        "base_instructions": CODEX_INSTRUCTIONS.format(tool=", with apply_patch" if patches else ""),
        "default_reasoning_level": "medium",
        **({"apply_patch_tool_type": "freeform"} if patches else {}),
        "context_window": served.max_model_len,
        "max_context_window": served.max_model_len,
        "input_modalities": ["text"],
        "supports_search_tool": False,
        "default_reasoning_summary": "none",
    }
