"""The typed events of a streamed response."""

from __future__ import annotations

from typing import Literal

from pydantic import RootModel

from dovetail.serve.api.schemas.responses import OutputItem, OutputText, Refusal, Response, ThoughtText
from dovetail.serve.api.schemas.shared import ChosenToken, Wire


class ResponseLifecycle(Wire):
    """The response as it stands; the last three end the stream."""

    type: Literal[
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    sequence_number: int
    response: Response


class ResponseItemEvent(Wire):
    """An item begins, or is done."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: int
    output_index: int
    item: OutputItem


class _InItem(Wire):
    sequence_number: int
    item_id: str
    output_index: int


class ResponsePartEvent(_InItem):
    """A part of an item's content begins, or is done."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    content_index: int
    part: OutputText | Refusal | ThoughtText


class ResponseSummaryPartEvent(_InItem):
    """A part of a reasoning item's summary begins, or is done."""

    type: Literal["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"]
    summary_index: int
    part: ThoughtText


class ResponseTextDelta(_InItem):
    """More text."""

    type: Literal["response.output_text.delta"]
    content_index: int
    delta: str
    logprobs: list[ChosenToken]


class ResponseTextDone(_InItem):
    """All of the text."""

    type: Literal["response.output_text.done"]
    content_index: int
    text: str
    logprobs: list[ChosenToken]


class ResponseRefusalDelta(_InItem):
    """More of the words with which it is declined."""

    type: Literal["response.refusal.delta"]
    content_index: int
    delta: str


class ResponseRefusalDone(_InItem):
    """All of these words."""

    type: Literal["response.refusal.done"]
    content_index: int
    refusal: str


class ResponseReasoningDelta(_InItem):
    """More of what the model thinks: in the content, or in the summary."""

    type: Literal["response.reasoning_text.delta", "response.reasoning_summary_text.delta"]
    content_index: int | None = None
    summary_index: int | None = None
    delta: str


class ResponseReasoningDone(_InItem):
    """All of it."""

    type: Literal["response.reasoning_text.done", "response.reasoning_summary_text.done"]
    content_index: int | None = None
    summary_index: int | None = None
    text: str


class ResponseCallDelta(_InItem):
    """More of a call's arguments or input."""

    type: Literal["response.function_call_arguments.delta", "response.custom_tool_call_input.delta"]
    delta: str


class ResponseCallDone(_InItem):
    """All of a call's arguments or input."""

    type: Literal["response.function_call_arguments.done", "response.custom_tool_call_input.done"]
    name: str
    arguments: str | None = None
    input: str | None = None


class StreamFailure(Wire):
    """What went wrong."""

    type: str
    code: str | None
    message: str
    param: str | None


class ResponseErrorEvent(Wire):
    """What went wrong, for clients that look for this event; it follows `response.failed`."""

    type: Literal["error"]
    sequence_number: int
    code: str
    message: str
    param: str | None
    error: StreamFailure


class ResponseEvent(
    RootModel[
        ResponseLifecycle
        | ResponseItemEvent
        | ResponsePartEvent
        | ResponseSummaryPartEvent
        | ResponseTextDelta
        | ResponseTextDone
        | ResponseRefusalDelta
        | ResponseRefusalDone
        | ResponseReasoningDelta
        | ResponseReasoningDone
        | ResponseCallDelta
        | ResponseCallDone
        | ResponseErrorEvent
    ]
):
    """The data of each event of a stream."""
