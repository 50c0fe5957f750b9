"""POST /tokenize and /detokenize, in the forms of llama.cpp's server and of vLLM. Asks no engine."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from dovetail.serve.api.chat.body import ChatBody
from dovetail.serve.api.chat.edits import edit_prompt, ignored_with_edits
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.asking import prompt_ids
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.served import TextCodec
from dovetail.serve.errors import UserError

TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
_FORMS = ("content", "prompt", "messages")


class TokenizeBody(BaseModel):
    """One of ``content`` (llama.cpp), ``prompt`` or ``messages`` (vLLM). With ``messages`` other fields are a chat's."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    model: str | None = None
    content: str | None = None
    prompt: str | None = None
    messages: list[Any] | None = None
    add_special: bool | None = None
    add_special_tokens: bool | None = None
    parse_special: bool | None = None
    with_pieces: bool | None = None
    return_token_strs: bool | None = None


class DetokenizeBody(BaseModel):
    """Token ids."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0)]]


def routes(context: ApiContext) -> APIRouter:
    """Both endpoints."""
    router = APIRouter()

    @router.post(TOKENIZE)
    async def tokenize(http: HttpRequest) -> Response:
        wire = await read_object(http, context.settings.max_body_bytes)
        body = check(TokenizeBody, wire)
        context.require_model(body.model)
        codec = context.served.codec
        given = [name for name in _FORMS if getattr(body, name) is not None]
        if len(given) != 1:
            raise UserError("Give one of content, prompt and messages.", code="invalid_value", param="content")
        if body.messages is not None:
            chat = check(ChatBody, {name: value for name, value in wire.items() if name not in _OWN})
            ignored = chat.ignored()
            conversation = chat.conversation(chat.offered())
            if chat.edits is not None:
                ignored += ignored_with_edits(chat)
                _, prompt = await edit_prompt(context, chat, chat.edits, conversation)
                ids = list(prompt)
            else:
                ids = await asyncio.to_thread(prompt_ids, context, conversation)
        else:
            ignored = ignored_fields(body)
            ids = await asyncio.to_thread(_ids, codec, body)
        answer: dict[str, Any] = {"tokens": ids, "count": len(ids), "max_model_len": context.served.max_model_len}
        if body.with_pieces:
            answer["tokens"] = [{"id": token, "piece": _piece(codec, token)} for token in ids]
        if body.return_token_strs:
            answer["token_strs"] = [_spelled(codec, [token]) for token in ids]
        return JSONResponse(answer, headers=context.ignored_header(http, ignored))

    @router.post(DETOKENIZE)
    async def detokenize(http: HttpRequest) -> Response:
        body = check(DetokenizeBody, await read_object(http, context.settings.max_body_bytes))
        context.require_model(body.model)
        codec = context.served.codec
        for index, token in enumerate(body.tokens):
            if token >= codec.size:
                refuse(f"tokens[{index}]", f"must be a token id of this model (0 to {codec.size - 1})")
        text = await asyncio.to_thread(_spelled, codec, body.tokens)
        return JSONResponse(
            {"content": text, "prompt": text}, headers=context.ignored_header(http, ignored_fields(body))
        )

    return router


_OWN = set(TokenizeBody.model_fields) - {"messages"}


def _ids(codec: TextCodec, body: TokenizeBody) -> list[int]:
    """llama.cpp's form adds no special tokens by default, vLLM's does; both read those in the text as such."""
    text = body.content if body.content is not None else body.prompt or ""
    wish = body.add_special if body.content is not None else body.add_special_tokens
    begins = wish if wish is not None else body.content is None
    if body.parse_special is False:
        return [*(codec.encode_prompt("") if begins else ()), *codec.encode(text)]
    return codec.encode_prompt(text, add_bos=begins)


def _spelled(codec: TextCodec, ids: list[int]) -> str:
    """The text of ``ids``, special tokens as they are written."""
    names = {token: name for name, token in codec.special.items()}
    return "".join(
        "".join(names[token] for token in run) if special else codec.decode(run)
        for special, run in groupby(ids, lambda token: token in names)
    )


def _piece(codec: TextCodec, token: int) -> str | list[int]:
    """What a token spells; its bytes where they are no text."""
    spelling = codec.token_bytes(token)
    if spelling is None:
        return _spelled(codec, [token])
    try:
        return spelling.decode()
    except UnicodeDecodeError:
        return list(spelling)
