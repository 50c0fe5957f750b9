"""What a dialect is told (tools), what it reads (pieces), and how its calls begin. Knows no family."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

PieceKind = Literal["text", "reasoning", "call", "arguments", "end"]


@dataclass(frozen=True)
class Piece:
    """``call`` begins a tool call, its text is the tool's name; ``arguments`` carry JSON text, or the plain input of a
    custom tool; ``end`` ends the call."""

    kind: PieceKind
    text: str = ""


ArgumentStyle = Literal["json", "tagged", "plain", "python"]
BEGINNING = "\N{REPLACEMENT CHARACTER}"
"""Stands for the beginning of the output in a call's head."""


@dataclass(frozen=True)
class CallHead:
    """How the call of a tool begins, for those who follow an output while it is written.

    ``pattern``: a regular expression of what stands right before the arguments; BEGINNING may be in it.
    ``style``: they are a JSON object, values between ``tags`` (what opens a name, what stands between it and its value, what
    closes the value), one text as it is, or keyword arguments of Python, strings spelled as in JSON.
    """

    pattern: str
    style: ArgumentStyle = "json"
    tags: tuple[str, str, str] = ("", "", "")


class ToolConstraint(Protocol):
    """What the input of a custom tool is held to."""

    @property
    def syntax(self) -> Literal["lark", "regex"]: ...

    @property
    def definition(self) -> str: ...


class OfferedTool(Protocol):
    """A tool that the model may call. A custom tool takes plain text; dialects show it as a function of one string,
    ``input``."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any] | None: ...

    @property
    def kind(self) -> Literal["function", "custom"]: ...

    @property
    def grammar(self) -> ToolConstraint | None: ...

    @property
    def strict(self) -> bool: ...


INPUT = "input"
"""The name of a custom tool's one parameter."""


def named_object(name: str, key: str = "arguments") -> str:
    """A regular expression of ``{"name": ..., "arguments": ``, in any spacing."""
    return rf'\{{\s*"name"\s*:\s*{re.escape(json.dumps(name))}\s*,\s*"{key}"\s*:'


def writes_plain(tool: OfferedTool) -> bool:
    """Whether a custom tool's input stands outside JSON, where a grammar can hold it."""
    return tool.kind == "custom" and tool.grammar is not None and tool.grammar.syntax == "lark"


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same pieces with neighbours of one kind as one: what does not depend on how the text came in."""
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].kind == piece.kind and piece.kind in ("text", "reasoning", "arguments"):
            merged[-1] = Piece(piece.kind, merged[-1].text + piece.text)
        else:
            merged.append(piece)
    return merged


def schema_of(tool: OfferedTool) -> dict[str, Any]:
    """The JSON schema of a tool's arguments."""
    if tool.kind == "custom":
        return {"type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT]}
    return tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}


def template_tool(tool: OfferedTool) -> dict[str, Any]:
    """The definition as chat templates read it: Chat Completions' own form."""
    function = {"name": tool.name, "description": tool.description, "parameters": schema_of(tool)}
    if tool.kind == "custom" and tool.grammar is not None:
        rule = "this Lark grammar" if tool.grammar.syntax == "lark" else "this regular expression"
        function["description"] = f"{tool.description}\nThe input follows {rule}:\n{tool.grammar.definition}".strip()
    return {"type": "function", "function": function}
