"""From a request for a response to what the engine is asked, and the response object as it begins. Tells no events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.asking import engine_requests
from dovetail.serve.api.conversation.conversation import Conversation, Message, ToolChoice
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.ids import fresh
from dovetail.serve.api.responses.archive import Archive
from dovetail.serve.api.responses.body import ContextFields, ResponseBody
from dovetail.serve.api.responses.compaction import ASK
from dovetail.serve.api.responses.history import History
from dovetail.serve.api.responses.items import Item, read_input
from dovetail.serve.api.responses.tools import Offered, read_tool_choice, read_tools
from dovetail.serve.api.sealed import Sealer
from dovetail.serve.errors import ContextOverflow
from dovetail.serve.types import GrammarSpec, Request


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a request tells: its own items, the tools, and the conversation that all of it makes.

    ``compacting``: the answer is to be a summary, for a compaction item. ``ignored``: what the model is not shown.
    """

    items: tuple[Item, ...]
    offered: Offered
    conversation: Conversation
    compacting: bool
    ignored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One response to be made."""

    body: ResponseBody
    told: Told
    requests: tuple[Request, ...]
    response: dict[str, Any]
    ignored: tuple[str, ...]

    @property
    def stored(self) -> bool:
        """Whether later requests may refer to it."""
        return self.body.store is not False


def read_told(archive: Archive, sealer: Sealer, body: ContextFields) -> Told:
    """Everything a request tells the model, with what it refers to."""
    body.require_one_past()
    past: list[Item] = []
    if body.previous_response_id is not None:
        past = archive.past(body.previous_response_id)
    elif body.conversation is not None:
        past = archive.conversation_items(body.conversation, "conversation")
    if body.input is None and not past:
        refuse("input", "is required", "missing_field")
    own = _referred(archive, past, read_input([] if body.input is None else body.input))
    compacting = bool(own) and own[-1]["type"] == "compaction_trigger"
    for index, item in enumerate(own[:-1]):
        if item["type"] == "compaction_trigger":
            refuse(f"input[{index}].type", "a compaction_trigger must be the last item")
    offered = read_tools([*_tool_lists(past, "past"), (body.tools or [], "tools"), *_tool_lists(own, "input")])
    history = History(sealer, {tool.name: tool.parameters for tool in offered.tools})
    if body.instructions:
        history.messages.append(Message(role="system", text=body.instructions))
    history.add(past, "past")
    history.add(own, "input")
    messages = (*history.finished(), ASK) if compacting else history.finished()
    conversation = Conversation(
        messages=messages,
        tools=offered.tools,
        tool_choice=ToolChoice(mode="none") if compacting else read_tool_choice(body.tool_choice, offered),
        parallel=body.parallel_tool_calls is not False,
        effort=body.effort,
        shows_all_tools=compacting,
        security=body.secured if isinstance(body, ResponseBody) else None,
    )
    kept = own[:-1] if compacting else own
    return Told(
        items=tuple(kept),
        offered=offered,
        conversation=conversation,
        compacting=compacting,
        ignored=(*history.ignored, *(f"tools.{tool['type']}" for tool in offered.unavailable)),
    )


async def prepare(context: ApiContext, archive: Archive, sealer: Sealer, body: ResponseBody) -> Turn:
    """A checked request, ready for the engine."""
    context.require_model(body.model)
    ignored = body.ignored()
    told = await archive.aside(read_told, archive, sealer, body)
    response_id = fresh("resp")
    answer = None if told.compacting else body.answer_format
    left_out = await context.grammars.held(answer, body)
    requests = await _requests(context, told.conversation, body, response_id, answer)
    return Turn(
        body=body,
        told=told,
        requests=requests,
        response=_response(context, response_id, body, told.offered, requests[0]),
        ignored=(*ignored, *left_out, *told.ignored),
    )


async def _requests(
    context: ApiContext, conversation: Conversation, body: ResponseBody, response_id: str, answer: GrammarSpec | None
) -> tuple[Request, ...]:
    while True:
        try:
            return await engine_requests(
                context,
                conversation,
                body,
                response_id,
                max_tokens=body.max_output_tokens or body.max_tokens,
                logprobs=body.logprobs,
                answer=answer,
            )
        except ContextOverflow as overflow:
            shorter = shortened(conversation.messages) if body.truncation == "auto" else None
            if shorter is None:
                raise ContextOverflow(overflow.prompt_tokens, overflow.limit, "input") from overflow
            conversation = replace(conversation, messages=shorter)


def shortened(messages: Sequence[Message]) -> tuple[Message, ...] | None:
    """For ``truncation: auto``: without the older half of what lies before the last user turn; None if nothing does.

    System messages stay, and no answer of a tool is left without its call.
    """
    last = max((index for index, message in enumerate(messages) if message.role == "user"), default=0)
    old = [index for index in range(last) if messages[index].role != "system"]
    if not old:
        return None
    cut = old[(len(old) - 1) // 2] + 1
    while cut < last and messages[cut].role == "tool":
        cut += 1
    return tuple(message for index, message in enumerate(messages) if index >= cut or message.role == "system")


def _referred(archive: Archive, past: Sequence[Item], items: Sequence[Item]) -> list[Item]:
    """``items`` with references replaced by what they refer to; what the past holds anyway is not said twice."""
    known = {item["id"] for item in past}
    resolved: list[Item] = []
    for index, item in enumerate(items):
        if item["type"] != "item_reference":
            resolved.append(item)
        elif item["id"] not in known:
            found = next((each for each in items if each["id"] == item["id"] and each is not item), None)
            stored = found if found is not None and found["type"] != "item_reference" else archive.item(item["id"])
            if stored is None:
                refuse(f"input[{index}].id", f"there is no stored item {item['id']!r}", "item_not_found")
            resolved.append(stored)
    return resolved


def _tool_lists(items: Sequence[Item], path: str) -> list[tuple[Any, str]]:
    return [
        (item["tools"], f"{path}[{index}].tools")
        for index, item in enumerate(items)
        if item["type"] in ("additional_tools", "tool_search_output")
    ]


def _response(
    context: ApiContext, response_id: str, body: ResponseBody, offered: Offered, request: Request
) -> dict[str, Any]:
    """The response object, less status, output, error and usage."""
    reasoning = body.reasoning
    text = body.text.model_dump(by_alias=True, exclude_none=True) if body.text is not None else {}
    response: dict[str, Any] = {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "background": bool(body.background),
        "conversation": {"id": body.conversation} if body.conversation is not None else None,
        "frequency_penalty": request.sampling.frequency_penalty,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "model": context.served.name,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "presence_penalty": request.sampling.presence_penalty,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": body.effort, "summary": reasoning.summary if reasoning is not None else None},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": request.sampling.temperature,
        "text": {"format": {"type": "text"}, **text},
        "tool_choice": "auto" if body.tool_choice is None else body.tool_choice,
        "tools": list(offered.shown),
        "top_logprobs": body.top_logprobs or 0,
        "top_p": request.sampling.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
    }
    if offered.unavailable:
        response["unavailable_tools"] = list(offered.unavailable)
    return response
