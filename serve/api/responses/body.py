"""The body of POST /v1/responses and of its two relatives. Items and tools are read elsewhere, one by one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dovetail.serve.api.conversation.carriers import CarrierFields
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.sampling import MAX_TOP_LOGPROBS
from dovetail.serve.api.structured import schema_spec
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def _conversation_id(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) and set(value) == {"id"} else value


class ReasoningField(BaseModel):
    """How the model is to think, and what of it the client wants to read."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class TextFormat(BaseModel):
    """What the text is held to."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema_: Annotated[dict[str, Any] | bool | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextField(BaseModel):
    """Format and length of the text."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    format: TextFormat | None = None
    verbosity: str | None = None


class ContextFields(BaseModel):
    """What the model is given: shared by answering, counting and compacting."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    model: str | None = None
    input: Any = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Annotated[str | None, BeforeValidator(_conversation_id)] = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningField | None = None
    text: TextField | None = None
    truncation: Literal["auto", "disabled"] | None = None

    def require_one_past(self) -> None:
        """Raise a 400 if two earlier conversations are named."""
        if self.previous_response_id is not None and self.conversation is not None:
            raise UserError(
                "previous_response_id and conversation exclude each other; send one of them.",
                code="invalid_value",
                param="previous_response_id",
            )

    @property
    def answer_format(self) -> GrammarSpec | None:
        """What the text is held to, not yet checked; None: nothing."""
        wanted = self.text.format if self.text is not None else None
        if wanted is None or wanted.type == "text":
            return None
        if wanted.type == "json_object":
            return GrammarSpec(kind="json_object", param="text.format")
        if wanted.schema_ is None:
            raise UserError("text.format.schema is required.", code="missing_field", param="text.format.schema")
        return schema_spec(wanted.schema_, param="text.format.schema", strict=wanted.strict)

    @property
    def effort(self) -> str | None:
        """How long to reason."""
        return self.reasoning.effort if self.reasoning is not None else None

    @property
    def summarise(self) -> bool:
        """Whether the client reads reasoning as a summary."""
        asked = self.reasoning
        return asked is not None and (asked.summary not in (None, "none") or asked.generate_summary is not None)


class ResponseBody(CarrierFields, ContextFields):
    """The body of a request for a response."""

    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    include: list[str] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    user: str | None = None

    @property
    def wants_encrypted(self) -> bool:
        """Whether reasoning items carry their sealed text."""
        return ENCRYPTED in (self.include or ())

    @property
    def logprobs(self) -> int | None:
        """How many alternatives to report per token, if log probabilities are wanted at all."""
        return (self.top_logprobs or 0) if LOGPROBS in (self.include or ()) or self.top_logprobs else None

    def ignored(self) -> list[str]:
        """Names of what is accepted and changes nothing; a UserError for what would change the answer."""
        self.require_one_past()
        if self.background and self.store is False:
            raise UserError(
                "background needs store: true, or its result could never be read.", code="invalid_value", param="store"
            )
        names = ignored_fields(self)
        names += [f"include.{name}" for name in self.include or () if name not in (ENCRYPTED, LOGPROBS)]
        if self.text is not None and self.text.verbosity is not None:
            names.append("text.verbosity")
        return names
