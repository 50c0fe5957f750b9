"""Answers of Responses: the response, its items, lists of them, conversations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import RootModel

from dovetail.serve.api.schemas.shared import ChosenToken, DovetailReport, Open, PageOf, SecurityReport, Wire

ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class InputText(Wire):
    """What a user or a developer said."""

    type: Literal["input_text"]
    text: str


class OutputText(Wire):
    """What the model said; ``logprobs`` in what was made here."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[ChosenToken] | None = None


class Refusal(Wire):
    """The words with which a request was declined."""

    type: Literal["refusal"]
    refusal: str


class ThoughtText(Wire):
    """What the model thought, in a reasoning item's content or summary."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class MessageItem(Wire):
    """A message; ``phase`` as the client gave it."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["assistant", "user", "system", "developer"]
    content: list[InputText | OutputText | Refusal]
    phase: str | None = None


class ReasoningItem(Wire):
    """What the model thought; ``encrypted_content`` where the client asked for it, to send it back."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus | None = None
    summary: list[ThoughtText]
    content: list[ThoughtText]
    encrypted_content: str | None = None


class FunctionCallItem(Wire):
    """A call of a function; ``arguments`` is JSON text."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: str | None = None
    arguments: str


class CustomCallItem(Wire):
    """A call of a custom tool with plain input."""

    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: str | None = None
    input: str


class CompactionItem(Wire):
    """What stands for a conversation so far; only this server can read it."""

    id: str
    type: Literal["compaction"]
    encrypted_content: str


class OtherItem(Open):
    """An item of another type, as the client sent it: results of tools, calls of tools that run elsewhere."""

    id: str
    type: str


OutputItem = MessageItem | ReasoningItem | FunctionCallItem | CustomCallItem | CompactionItem
ConversationItem = OutputItem | OtherItem


class Item(RootModel[ConversationItem]):
    """An item of a conversation."""


class InputTokensDetails(Wire):
    """Of the input: what the prefix cache held."""

    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(Wire):
    """Of the output: what was reasoning."""

    reasoning_tokens: int


class ResponseUsage(Wire):
    """Tokens of a response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseError(Wire):
    """Why a response failed."""

    code: str
    message: str


class IncompleteDetails(Wire):
    """Why a response ends early."""

    reason: Literal["max_output_tokens", "content_filter"]


class ConversationName(Wire):
    """The conversation that a response belongs to."""

    id: str


class ReasoningSettings(Wire):
    """How much the model was to think, and how it shows that."""

    effort: str | None
    summary: str | None


class TextSettings(Open):
    """The format of the answer."""

    format: dict[str, Any]


class Response(Wire):
    """A response. The fields below ``incomplete_details`` say what it was asked with."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: ResponseStatus
    output: list[OutputItem]
    usage: ResponseUsage | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    background: bool
    conversation: ConversationName | None
    frequency_penalty: float
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    parallel_tool_calls: bool
    presence_penalty: float
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: ReasoningSettings
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: TextSettings
    tool_choice: Any
    tools: list[dict[str, Any]]
    unavailable_tools: list[dict[str, Any]] | None = None
    top_logprobs: int
    top_p: float
    truncation: str
    user: str | None
    security: SecurityReport | None = None
    dovetail: DovetailReport | None = None


class InputTokens(Wire):
    """The length of an input."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class CompactedResponse(Wire):
    """The user's messages, and one item for all the rest."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[ConversationItem]
    usage: ResponseUsage | None


class Conversation(Wire):
    """A list of items that responses read from and add to."""

    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


class ItemPage(PageOf[ConversationItem]):
    """One page of items, the newest first unless ``order`` says otherwise."""
