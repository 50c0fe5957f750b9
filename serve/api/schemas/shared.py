"""What answers of several protocols share: token counts, log probabilities, findings, what a policy decided, pages of a list."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from dovetail.serve.types import Decided, FindingKind, Mode, Severity


class Wire(BaseModel):
    """A part of an answer. A field without a default is always there, one with a default only where it has something to say."""

    model_config = ConfigDict(defer_build=True)


class Open(BaseModel):
    """A part of an answer that has further fields, which depend on what it tells of."""

    model_config = ConfigDict(defer_build=True, extra="allow")


Entry = TypeVar("Entry")


class PageOf(Wire, Generic[Entry]):
    """One page of a list; ``has_more``: ask again, with ``after`` set to ``last_id``."""

    object: Literal["list"]
    data: list[Entry]
    first_id: str | None
    last_id: str | None
    has_more: bool


class CachedTokens(Wire):
    """Tokens of the prompt that the prefix cache held already."""

    cached_tokens: int


class OutputTokens(Wire):
    """Of the tokens that were made: those of reasoning, and what became of a prediction's."""

    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class TokenUsage(Wire):
    """Tokens of a request; a prompt counts once, however many choices it has."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: OutputTokens


class LikelyToken(Wire):
    """A token and its log probability; ``bytes`` is null for special tokens."""

    token: str
    logprob: float
    bytes: list[int] | None


class ChosenToken(LikelyToken):
    """A token of the answer, and what else was likely there."""

    top_logprobs: list[LikelyToken]


class ChatLogprobs(Wire):
    """Log probabilities, token by token."""

    content: list[ChosenToken]
    refusal: None


class CodeFinding(Wire):
    """Insecure code; ``line`` and ``column`` count from 1, ``tools`` found it."""

    id: str
    cwe: str
    severity: Severity
    message: str
    fix: str
    path: str
    line: int
    column: int
    end_line: int
    key: str
    action: Literal["report", "block"]
    tools: list[str]


class ToolResultFinding(Wire):
    """Something in a tool's result that reads like an order to the model."""

    id: str
    severity: Severity
    description: str
    message: int
    tool: str
    excerpt: str


class UseClause(Wire):
    """A clause of the acceptable use policy."""

    id: str
    title: str
    text: str


class DeclinedBy(Wire):
    """Why a request was declined; ``rule`` names the pattern, where one did it."""

    clause: UseClause
    by: str
    rule: str | None


class SecurityReport(Wire):
    """What was found in the answer's code; or why the request was declined. ``complete``: all of it was looked at."""

    findings: list[CodeFinding] | None = None
    blocked: bool | None = None
    complete: bool | None = None
    tool_results: list[ToolResultFinding] | None = None
    sarif: dict[str, Any] | None = None
    declined: DeclinedBy | None = None


class PolicyFinding(Wire):
    """What the policy finds in an edit; ``line`` counts from 1, 0 means the whole file."""

    id: str
    rule: FindingKind
    path: str
    message: str
    line: int
    severity: Severity
    cwe: str | None
    mode: Mode
    decided: Decided
    fix: str


class CallPolicy(Wire):
    """The policy over an answer's edit calls; ``refused``: what it kept the model from."""

    digest: str
    findings: list[PolicyFinding]
    refused: list[PolicyFinding]


class DovetailReport(Wire):
    """What only this server says of an answer: of the policy, where one holds and an edit tool was called."""

    policy: CallPolicy | None = None


class Deleted(Wire):
    """What was deleted."""

    id: str
    object: str
    deleted: Literal[True]
