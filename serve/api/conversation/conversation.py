"""A conversation as the API means it, whichever protocol it came in by. Knows no wire format, no template and no dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dovetail.serve.api.security.fields import SecurityField

Role = Literal["system", "user", "assistant", "tool"]
ToolKind = Literal["function", "custom"]
Syntax = Literal["lark", "regex"]


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call from an earlier turn. ``arguments`` is verbatim: JSON text, valid or not; of a custom tool its plain input."""

    id: str
    name: str
    arguments: str
    kind: ToolKind = "function"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn. ``tool_call_id``: which call a tool message answers. ``name``: of the speaker, or of that call's tool."""

    role: Role
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class ToolGrammar:
    """What the input of a custom tool is held to."""

    syntax: Syntax
    definition: str


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool that the model may call. ``parameters`` None: a function without any. ``grammar`` None: free text (custom).

    ``path``: of what its input is held to, in the request, for refusals.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    kind: ToolKind = "function"
    grammar: ToolGrammar | None = None
    strict: bool = False
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class ToolChoice:
    """Whether tools may (auto), must (required) or must not (none) be called. ``names``: the only ones, if not all."""

    mode: Literal["auto", "none", "required"] = "auto"
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """All that a prompt is rendered from, and an answer read by.

    ``parallel``: whether one answer may hold several calls. ``effort``: how long to reason, in the words of the protocols
    (none, minimal, low, medium, high, ...); None: as the model does by itself. ``shows_all_tools``: the prompt describes
    also those that may not be called now, and so begins like the prompts before it, which are cached. ``security``: the request's
    wish to have the answer scanned.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    parallel: bool = True
    effort: str | None = None
    shows_all_tools: bool = False
    security: SecurityField | None = None

    @property
    def shown_tools(self) -> tuple[Tool, ...]:
        """The tools that the prompt describes."""
        return self.tools if self.shows_all_tools else self.callable_tools

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        """The tools that may be called in this answer."""
        if self.tool_choice.mode == "none":
            return ()
        names = self.tool_choice.names
        return tuple(tool for tool in self.tools if names is None or tool.name in names)
