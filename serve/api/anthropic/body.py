"""The body of POST /v1/messages and /v1/messages/count_tokens. Messages and tools are read elsewhere, one by one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dovetail.serve.api.conversation.carriers import CarrierFields
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.sampling import MAX_STOPS
from dovetail.serve.api.structured import schema_spec
from dovetail.serve.types import GrammarSpec

_OPEN = ConfigDict(strict=True, extra="allow", frozen=True)


class Thinking(BaseModel):
    """Whether the client wants to be given the model's thoughts. ``display`` omitted: sealed, not as text."""

    model_config = _OPEN

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    display: str | None = None


class OutputFormat(BaseModel):
    """What the text is held to."""

    model_config = _OPEN

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(BaseModel):
    """How long to think, and the form of the text."""

    model_config = _OPEN

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class ContextFields(BaseModel):
    """What the model is given: shared by answering and counting."""

    model_config = _OPEN

    model: str | None = None
    messages: list[Any]
    system: Any = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    @property
    def answer_format(self) -> GrammarSpec | None:
        """What the text is held to, not yet checked; None: nothing."""
        wanted = self.output_config.format if self.output_config is not None else None
        return schema_spec(wanted.schema_, param="output_config.format.schema") if wanted is not None else None

    @property
    def thinks(self) -> bool:
        """Whether the answer may hold thinking blocks."""
        return self.thinking is not None and self.thinking.type != "disabled"

    @property
    def effort(self) -> str | None:
        """How long to reason; not at all unless the client asked for thinking."""
        if not self.thinks:
            return "none"
        return self.output_config.effort if self.output_config is not None else None


class MessagesBody(CarrierFields, ContextFields):
    """The body of a request for a message."""

    max_tokens: Annotated[int, Field(ge=0)] | None = None
    stream: bool | None = None
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_STOPS)] | None = None
    context_management: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    cache_control: Any = None

    @property
    def warms(self) -> bool:
        """Whether the prompt is to be cached, and nothing to be answered."""
        return self.max_tokens == 0

    def ignored(self) -> list[str]:
        """Names of what is accepted and changes nothing; a UserError for what would change the answer."""
        names = ignored_fields(self)
        edits = (self.context_management or {}).get("edits")
        for edit in edits if isinstance(edits, list) else []:
            if isinstance(edit, dict) and edit.get("keep") != "all":
                names.append(f"context_management.{edit.get('type')}")
        return names
