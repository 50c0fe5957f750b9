"""From a conversation to engine requests: prompt, room, constraint, sampling. Knows no wire format."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.carriers import CarrierFields, carrier_spec
from dovetail.serve.api.conversation.conversation import Conversation, Message, ToolCall
from dovetail.serve.api.conversation.tool_grammar import endless, input_grammars, tool_grammar
from dovetail.serve.api.sampling import sampling_params
from dovetail.serve.api.security.fields import rules_for
from dovetail.serve.api.served import ChatMessage
from dovetail.serve.errors import UserError
from dovetail.serve.types import ConstraintSpec, GrammarSpec, Request


async def engine_requests(
    context: ApiContext,
    conversation: Conversation,
    fields: CarrierFields,
    turn_id: str,
    *,
    max_tokens: int | None,
    choices: int = 1,
    logprobs: int | None = None,
    prediction: str = "",
    answer: GrammarSpec | None = None,
) -> tuple[Request, ...]:
    """``choices`` requests that answer ``conversation``; ``max_tokens`` None, or more than the window leaves: all of it.

    ``answer``: what the answer is held to, where it is no call.

    Raises UserError where the model cannot take the conversation or it does not fit.
    """
    served = context.served
    visit = visiting()
    visit.belongs = visit.belongs or belongs(conversation, fields)
    rules_for(
        context.settings.policy, conversation.security
    )  # names that mean no rule are refused before anything begins
    context.admit(choices)
    visit.require_tools([tool.name for tool in conversation.tools])
    prompt = tuple(await asyncio.to_thread(prompt_ids, context, conversation))
    predicted = tuple(await asyncio.to_thread(served.codec.encode, prediction)) if prediction else ()
    room = context.room(len(prompt), "messages", choices)
    dialect = served.dialect
    constraint: ConstraintSpec | None = answer
    if dialect is not None:
        for own in input_grammars(conversation):
            await context.grammars.checked(own)
        grammar = await asyncio.to_thread(tool_grammar, dialect, conversation, prompt, fields, answer)
        if grammar is not None and grammar is not answer:
            await context.grammars.checked(grammar)
        constraint = grammar
        policy, quotes = context.settings.policy, fields.carries and context.settings.carriers
        if (quotes or policy is not None) and not endless(fields):
            asked = partial(carrier_spec, dialect, conversation, grammar, policy, quotes=quotes)
            carried = await asyncio.to_thread(asked)
            constraint = carried if carried is not None else grammar
    requests = [
        Request(
            request_id=f"{turn_id}-{index}",
            prompt=prompt,
            prediction=predicted,
            constraint=constraint,
            visible=dialect.visible_ids if dialect is not None else (),
            **fields.scheduling(),
            sampling=sampling_params(
                fields, served, max_tokens=min(max_tokens or room, room), index=index, logprobs=logprobs
            ),
        )
        for index in range(choices)
    ]
    return context.reserve(requests)


def belongs(conversation: Conversation, fields: object) -> str:
    """What all turns of a conversation have in common: its client's key, or what it begins with, to the first user's message."""
    key = getattr(fields, "prompt_cache_key", None)
    if isinstance(key, str) and key:
        return f"key {key}"
    said: list[str] = []
    for message in conversation.messages:
        said += (message.role, message.text)
        if message.role == "user":
            break
    return "beginning " + json.dumps(said)


def prompt_ids(context: ApiContext, conversation: Conversation) -> list[int]:
    """The prompt of a conversation, for counting tokens too. Raises UserError where the model cannot take it."""
    served = context.served
    if served.render_chat is None:
        raise UserError(
            f"{served.name} has no chat template; use /v1/completions.", code="unsupported_model", param="model"
        )
    if conversation.shown_tools and served.dialect is None:
        raise UserError(f"{served.name} cannot be offered tools.", code="unsupported_model", param="tools")
    messages = [template_message(message) for message in conversation.messages]
    return served.render_chat(messages, conversation.shown_tools, conversation.effort)


def template_message(message: Message) -> ChatMessage:
    """A message as chat templates read it."""
    shown: ChatMessage = {"role": message.role, "content": message.text}
    if message.name:
        shown["name"] = message.name
    if message.reasoning:
        shown["reasoning_content"] = message.reasoning
    if message.tool_calls:
        shown["tool_calls"] = [_template_call(call) for call in message.tool_calls]
    if message.role == "tool":
        shown["tool_call_id"] = message.tool_call_id
    return shown


def _template_call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps({"input": call.arguments}, ensure_ascii=False) if call.kind == "custom" else call.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
