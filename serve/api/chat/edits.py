"""A chat whose answer is an edit (``edits`` in its request): asked and judged as /v1/edits does it, in pieces of an answer.

Decides nothing about what fits. What the model sees of the files is decided here: docs/decisions/033.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace

from starlette.requests import Request as HttpRequest

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.chat.body import ChatBody
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.answer import refusal_pieces
from dovetail.serve.api.conversation.asking import belongs, prompt_ids
from dovetail.serve.api.conversation.conversation import Conversation, Message
from dovetail.serve.api.conversation.pieces import AnswerEnd, Finish, Piece, TextPiece
from dovetail.serve.api.edits.asking import NO_THINKING, Held, edit_sampling, held_to, render
from dovetail.serve.api.edits.body import ENDING_FIELDS, EditRules, check_instruction
from dovetail.serve.api.edits.outcome import outcome_of
from dovetail.serve.api.edits.report import as_written
from dovetail.serve.api.edits.trace import Trace
from dovetail.serve.api.generation import Output
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.security.declined import declined
from dovetail.serve.api.served import TextCodec
from dovetail.serve.api.structured import grammar_of
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.view import as_read
from dovetail.serve.errors import EngineError, UserError
from dovetail.serve.types import EditSpec, Event, FinishEvent, Request, RollbackEvent, TokensEvent

_FIRST_NAME = re.compile(r"[^.\[]*")


async def edit_requests(
    context: ApiContext, body: ChatBody, asked: EditRules, conversation: Conversation, turn_id: str, choices: int
) -> tuple[Held, tuple[Request, ...]]:
    """What the answers are held to, and the requests for them. Raises UserError for what goes not together with edits."""
    visit = visiting()
    visit.belongs = visit.belongs or belongs(conversation, body)
    visit.require_tools([tool.name for tool in conversation.tools])
    held, prompt = await edit_prompt(context, body, asked, conversation, choices)
    room = context.room(len(prompt), "messages", choices)
    requests = [
        Request(
            request_id=f"{turn_id}-{index}",
            prompt=prompt,
            constraint=held.spec,
            **body.scheduling(),
            sampling=edit_sampling(
                body,
                context.served,
                prompt_tokens=len(prompt),
                room=room,
                max_tokens=body.budget,
                index=index,
                logprobs=0 if held.trace else None,
            ),
        )
        for index in range(choices)
    ]
    return held, context.reserve(requests)


async def edit_prompt(
    context: ApiContext, body: ChatBody, asked: EditRules, conversation: Conversation, choices: int = 0
) -> tuple[Held, tuple[int, ...]]:
    """What the answers are held to, and the prompt; for counting its tokens too, without ``choices``. Raises UserError."""
    _refuse_others(body, conversation)
    with _named_within():
        held = await held_to(context, asked, conversation.security, choices)
        return held, tuple(await asyncio.to_thread(_rendered, context, held.spec, conversation))


def ignored_with_edits(body: ChatBody) -> list[str]:
    """Names of what changes nothing in an answer that is an edit: it is drafted from the files, and nothing is thought before it."""
    named = ["prediction"] if body.prediction is not None else []
    return [*named, "reasoning_effort"] if body.reasoning_effort not in (None, NO_THINKING) else named


def _rendered(context: ApiContext, spec: EditSpec, conversation: Conversation) -> list[int]:
    """The conversation with the files before the words of its last user message, and the format's rules in its system message.

    A single message is asked as /v1/edits would ask it.
    """
    messages = list(conversation.messages)
    last = max((index for index, each in enumerate(messages) if each.role == "user"), default=None)
    if last is None:
        refuse("messages", "must hold a user message that says what to change, for edits")
    check_instruction(messages[last].text, f"messages[{last}].content")
    if len(messages) == 1:
        return render(context.served, spec, messages[0].text)
    files = as_read(spec.files, spec.line_ends)
    rules, request = FORMATS[spec.format].messages(files, messages[last].text, spec.markers, spec.operations)
    messages[last] = replace(messages[last], text=request["content"])
    if messages[0].role == "system":
        messages[0] = replace(messages[0], text=f"{messages[0].text}\n\n{rules['content']}")
    else:
        messages.insert(0, Message(role="system", text=rules["content"]))
    return prompt_ids(context, replace(conversation, messages=tuple(messages), tools=(), effort=NO_THINKING))


async def edit_answers(
    context: ApiContext,
    http: HttpRequest,
    endpoint: str,
    conversation: Conversation,
    requests: Sequence[Request],
    held: Held,
) -> AsyncGenerator[tuple[int, list[Piece]], None]:
    """As conversation.answer.answers, of answers that are edits."""
    refused = await declined(context, http, conversation)
    if refused is not None:
        for index, request in enumerate(requests):
            yield index, refusal_pieces(refused, request)
        return
    growing = [_Growing(held, context.served.codec) for _ in requests]
    with _named_within():
        async with aclosing(context.generate(http, endpoint, requests)) as events:
            async for index, event in events:
                pieces = growing[index].take(event)
                if isinstance(event, FinishEvent):
                    pieces = await growing[index].end(context, event)
                if pieces:
                    yield index, pieces


class _Growing:
    """One answer in progress. Of its text that is told which stands: complete edits, unless all of it may still be withheld."""

    def __init__(self, held: Held, codec: TextCodec) -> None:
        self._held = held
        self._output = Output()
        self._trace = Trace(codec)
        self._text = ""
        self._told = 0
        self._tells = held.spec.syntax != "final" and not held.rules.blocking and as_written(held.spec)

    def take(self, event: Event) -> list[Piece]:
        """The pieces that one event adds."""
        self._output.take(event)
        if self._held.trace:
            self._trace.after(event)
        if isinstance(event, TokensEvent):
            self._text += event.text
        elif isinstance(event, RollbackEvent):
            self._text = self._text[: event.keep_chars]
            if event.keep_chars < self._told:
                raise EngineError("The engine took back an edit that stood.", status=500, code="internal_error")
        if not self._tells:
            return []
        spec = self._held.spec
        return self._up_to(FORMATS[spec.format].settled(self._text, self._told, spec.files, spec.markers))

    async def end(self, context: ApiContext, event: FinishEvent) -> list[Piece]:
        """The rest of the text and the end, once all of it has been judged."""
        outcome = await outcome_of(context, self._held, self._output, self._trace)
        self._text = outcome.landed.text
        reason: AnswerEnd = "length" if event.reason == "length" else "stop"
        return [
            *self._up_to(len(self._text)),
            Finish(
                "content_filter" if outcome.blocked else reason,
                event.usage,
                event.stop,
                constraint=event.constraint,
                security=outcome.security,
                dovetail={"edits": outcome.told},
            ),
        ]

    def _up_to(self, stands: int) -> list[Piece]:
        more, self._told = self._text[self._told : stands], stands
        return [TextPiece(more)] if more else []


def _refuse_others(body: ChatBody, conversation: Conversation) -> None:
    """Raise a UserError for a field that wants the answer to be something else than edits, or to end elsewhere."""
    wanted = grammar_of(body)
    if wanted is not None:
        raise _together(wanted.param.partition(".")[0], "an answer keeps to one of them")
    if conversation.callable_tools:
        raise _together("functions" if body.legacy else "tools", 'unless tool_choice is "none"')
    if body.logprobs:
        raise _together("logprobs", "edits.trace tells each token and its probability")
    for name in ENDING_FIELDS:
        if getattr(body, name):
            raise _together(name, "an edit ends where it is complete")


def _together(name: str, why: str) -> UserError:
    return UserError(f"{name} cannot be used together with edits: {why}.", code="unsupported_parameter", param=name)


@contextmanager
def _named_within() -> Iterator[None]:
    """Refusals of what is in ``edits`` name it by its place in the request."""
    try:
        yield
    except UserError as error:
        name = _FIRST_NAME.match(error.param or "")
        if name is not None and name[0] in EditRules.model_fields:
            if error.message.startswith(error.param or ""):
                error.message = f"edits.{error.message}"
            error.param = f"edits.{error.param}"
        raise
