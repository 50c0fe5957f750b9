"""Answers of Chat Completions."""

from __future__ import annotations

from typing import Any, Literal

from dovetail.serve.api.schemas.edits import EditReport
from dovetail.serve.api.schemas.shared import (
    ChatLogprobs,
    DovetailReport,
    Open,
    PageOf,
    SecurityReport,
    TokenUsage,
    Wire,
)

FinishReason = Literal["stop", "length", "tool_calls", "function_call", "content_filter"]


class CalledFunction(Wire):
    """A function's name, and its arguments as JSON text."""

    name: str
    arguments: str


class CalledCustom(Wire):
    """A custom tool's name, and its input as plain text."""

    name: str
    input: str


class ChatToolCall(Wire):
    """A call of a tool."""

    id: str
    type: Literal["function", "custom"]
    function: CalledFunction | None = None
    custom: CalledCustom | None = None


class AssistantMessage(Wire):
    """What the model answered; ``function_call`` only for requests with ``functions``."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: str | None = None
    tool_calls: list[ChatToolCall] | None = None
    function_call: CalledFunction | None = None


class ChoiceReport(DovetailReport):
    """What only this server says of a choice; ``edits`` where the request has them."""

    edits: EditReport | None = None


class ChatChoice(Wire):
    """One of the answers that were asked for."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason
    security: SecurityReport | None = None
    dovetail: ChoiceReport | None = None


class ChatCompletion(Wire):
    """A finished answer; ``metadata`` where it was stored."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str | None
    service_tier: str | None = None
    choices: list[ChatChoice]
    usage: TokenUsage
    metadata: dict[str, str] | None = None


class FunctionDelta(Wire):
    """More of a function call."""

    name: str | None = None
    arguments: str | None = None


class CustomDelta(Wire):
    """More of a custom tool's call."""

    name: str | None = None
    input: str | None = None


class ToolCallDelta(Wire):
    """More of the call ``index``; its id, type and name come once, at its start."""

    index: int
    id: str | None = None
    type: Literal["function", "custom"] | None = None
    function: FunctionDelta | None = None
    custom: CustomDelta | None = None


class ChatDelta(Wire):
    """What is new."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None


class ChunkChoice(Wire):
    """What is new in one choice; ``finish_reason`` is ``error`` where a failure ended it."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | Literal["error"] | None
    security: SecurityReport | None = None
    dovetail: ChoiceReport | None = None


class ChatCompletionChunk(Wire):
    """The data of each event of a stream, which ends with `[DONE]`."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str | None
    service_tier: str | None = None
    choices: list[ChunkChoice]
    usage: TokenUsage | None = None


class StoredMessage(Open):
    """A message of a stored completion, as it was sent."""

    id: str
    role: str
    content: Any = None


class ChatCompletionPage(PageOf[ChatCompletion]):
    """One page of stored completions."""


class StoredMessagePage(PageOf[StoredMessage]):
    """One page of the messages that a completion answered."""
