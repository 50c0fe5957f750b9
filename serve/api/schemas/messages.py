"""Answers of the Messages API, and the events of a streamed message."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import RootModel

from dovetail.serve.api.schemas.shared import DovetailReport, SecurityReport, Wire

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "model_context_window_exceeded"]


class TextBlock(Wire):
    """What the model says."""

    type: Literal["text"]
    text: str


class ThinkingBlock(Wire):
    """What the model thinks; ``signature`` holds it, sealed, to be sent back."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseBlock(Wire):
    """A call of a tool. What is no JSON object stands under ``unparsed_arguments``."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


ContentBlock = TextBlock | ThinkingBlock | ToolUseBlock


class ThinkingTokens(Wire):
    """Of the output: what was thinking."""

    thinking_tokens: int


class MessageUsage(Wire):
    """Tokens of a message; what came from the prefix cache is not counted as input."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: ThinkingTokens | None = None


class AppliedContextEdits(Wire):
    """Edits of the context: none are made here."""

    applied_edits: list[Any]


class Message(Wire):
    """An answer."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[ContentBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage
    context_management: AppliedContextEdits | None = None
    security: SecurityReport | None = None
    dovetail: DovetailReport | None = None


class MessageTokens(Wire):
    """The length of a conversation."""

    input_tokens: int


class MessageStart(Wire):
    """The first event."""

    type: Literal["message_start"]
    message: Message


class BlockStart(Wire):
    """A block begins."""

    type: Literal["content_block_start"]
    index: int
    content_block: ContentBlock


class TextDelta(Wire):
    """More text."""

    type: Literal["text_delta"]
    text: str


class ThinkingDelta(Wire):
    """More thinking."""

    type: Literal["thinking_delta"]
    thinking: str


class SignatureDelta(Wire):
    """The seal of a thinking block."""

    type: Literal["signature_delta"]
    signature: str


class InputDelta(Wire):
    """More of a call's arguments, as JSON text."""

    type: Literal["input_json_delta"]
    partial_json: str


class BlockDelta(Wire):
    """More of a block."""

    type: Literal["content_block_delta"]
    index: int
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockStop(Wire):
    """A block is complete."""

    type: Literal["content_block_stop"]
    index: int


class MessageEnding(Wire):
    """Why the message ends."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(Wire):
    """How the message ends, and what it took."""

    type: Literal["message_delta"]
    delta: MessageEnding
    usage: MessageUsage
    security: SecurityReport | None = None
    dovetail: DovetailReport | None = None


class MessageStop(Wire):
    """The last event."""

    type: Literal["message_stop"]


class MessageEvent(RootModel[MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop]):
    """The data of each event of a stream."""
