"""The body of POST /v1/chat/completions, and the conversation that it tells. Asks no engine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dovetail.serve.api.chat.messages import check_messages
from dovetail.serve.api.chat.tools import Offered, read_functions, read_tools
from dovetail.serve.api.conversation.carriers import CarrierFields
from dovetail.serve.api.conversation.conversation import Conversation
from dovetail.serve.api.edits.body import EditRules
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.sampling import MAX_TOP_LOGPROBS, ManyFields
from dovetail.serve.api.structured import StructuredFields
from dovetail.serve.errors import UserError

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ChatBody(ManyFields, StructuredFields, CarrierFields):
    """The body of a chat request; messages and tools are checked one by one in modules of their own."""

    messages: list[Any]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    prediction: Any = None
    edits: EditRules | None = None
    reasoning_effort: Effort | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None

    @property
    def legacy(self) -> bool:
        """Whether tools are offered, and called, as functions."""
        return bool(self.functions) and not self.tools

    @property
    def budget(self) -> int | None:
        """The most tokens that the answer may have, as far as the client says."""
        return self.max_completion_tokens or self.max_tokens

    def ignored(self) -> list[str]:
        """Names of what is accepted and changes nothing; a UserError for what would change the answer."""
        ignored = ignored_fields(self)
        if self.functions and self.tools:
            ignored.append("functions")
        if self.top_logprobs is not None and not self.logprobs:
            raise UserError("top_logprobs needs logprobs: true.", code="invalid_value", param="top_logprobs")
        return ignored

    def offered(self) -> Offered:
        """The tools that the model may call."""
        if self.legacy:
            return read_functions(self.functions, self.function_call)
        return read_tools(self.tools, self.tool_choice)

    def conversation(self, offered: Offered) -> Conversation:
        """All that the prompt is made of."""
        return Conversation(
            messages=check_messages(self.messages),
            tools=offered.tools,
            tool_choice=offered.choice,
            parallel=self.parallel_tool_calls is not False and not self.legacy,
            effort=self.reasoning_effort,
            security=self.secured,
        )
