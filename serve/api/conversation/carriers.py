"""Edit tools of clients, recognised in a conversation: their calls quote text that it has shown; and how many such calls there are.

Knows no wire format; what tools mean and what is known of files is found out in serve/edit/known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict

from dovetail.serve.api.conversation.conversation import Conversation, Message, Tool
from dovetail.serve.api.conversation.pieces import CallArguments, CallEnd, CallStart, Finish, Piece, TextPiece
from dovetail.serve.api.sampling import SamplingFields
from dovetail.serve.api.security.fields import SecurityField
from dovetail.serve.api.served import CallHead, Dialect
from dovetail.serve.edit.carrier.watch import START
from dovetail.serve.edit.known.chat_blocks import HEAD, asks_for_blocks, chat_blocks
from dovetail.serve.edit.known.follow import Call, Known, Turn, arguments_in, edits_in, known_texts, normal
from dovetail.serve.edit.known.patches import file_patches
from dovetail.serve.edit.known.tools import ToolRoles, roles_of
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.types import CarrierSpec, CarrierTool, ConstraintSpec, GrammarSpec, KnownFile

_BOUNDS = ("pattern", "enum", "const", "minLength", "maxLength", "format", "$ref", "anyOf", "oneOf", "allOf", "not")
"""Keywords under which a text is more than any string: it is left to them."""


_BLOCKS = CarrierTool(
    name="", head=rf"(?:\n|{START.decode()}){HEAD}", style="blocks", old="search", new="replace", empty_old=True
)
"""Blocks in plain text, as aider asks for them."""


class DovetailField(BaseModel):
    """Wishes that only this server knows."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    carriers: bool | None = None
    security: SecurityField | None = None


class CarrierFields(SamplingFields):
    """The fields of endpoints whose answers may call edit tools."""

    dovetail: DovetailField | None = None

    @property
    def secured(self) -> SecurityField | None:
        """How the answer is scanned, if the request asks for that."""
        return self.dovetail.security if self.dovetail is not None else None

    @property
    def carries(self) -> bool:
        """Whether calls of edit tools are held to what is known."""
        return self.dovetail is None or self.dovetail.carriers is not False


def carrier_spec(
    dialect: Dialect,
    conversation: Conversation,
    grammar: GrammarSpec | None,
    policy: Policy | None = None,
    *,
    quotes: bool = True,
) -> CarrierSpec | None:
    """``grammar`` with calls of edit tools held to what is known and to ``policy``; None: no edit tool is offered that can be
    followed, or there is nothing to hold it to. ``quotes`` False: to no text."""
    tools = conversation.callable_tools
    heads = dialect.heads(tools)
    turns = turns_of(conversation)
    carried = [
        found
        for tool, head in zip(tools, heads, strict=True)
        if head is not None and (found := carrier_tool(tool, head, writes=policy is not None)) is not None
    ]
    if quotes and any(asks_for_blocks(turn.text) for turn in turns if turn.role in ("system", "user")):
        carried.append(_BLOCKS)
    if not carried:
        return None
    known = known_texts(turns)
    files = _files(known) if quotes else ()
    if not files and policy is None:
        return None
    return CarrierSpec(
        files=files,
        tools=tuple(carried),
        folder=known.folder,
        policy=policy.texts if policy is not None else (),
        grammar=grammar,
        spellings=dialect.spellings,
    )


def carrier_tool(tool: Tool, head: CallHead, *, writes: bool = False) -> CarrierTool | None:
    """``tool`` as its calls are followed; None: it is no edit tool, or its quoted text is bound by its schema.

    ``writes``: a tool that writes whole files is followed too.
    """
    properties, roles = _properties(tool), _roles(tool, writes=writes)
    if roles is None:
        return None
    if roles.meaning == "write":
        if not _any_text(properties.get(roles.text)):
            return None
        return CarrierTool(
            name=tool.name, head=head.pattern, style=head.style, tags=head.tags, path=roles.path, content=roles.text
        )
    if roles.meaning in ("patch", "shell"):
        if head.style != "plain" and not _any_text(properties.get(roles.text)):
            return None
        return CarrierTool(name=tool.name, head=head.pattern, style=head.style, tags=head.tags, patch=roles.text)
    held = _item(properties, roles.edits) if roles.edits else properties
    if not _any_text(held.get(roles.old)):
        return None
    return CarrierTool(
        name=tool.name,
        head=head.pattern,
        style=head.style,
        tags=head.tags,
        path=roles.path,
        old=roles.old,
        new=roles.new,
        everywhere=roles.everywhere,
        everywhere_first=_comes_first(held, roles.everywhere, roles.old),
        content=roles.text,
        command="command" if roles.meaning == "editor" else "",
        edits=roles.edits,
        empty_old=roles.empty_old,
    )


class CallCounter:
    """Counts the edits in the calls of one answer: of files known as a whole, in part, or not at all (or free by wish)."""

    def __init__(self, conversation: Conversation, constraint: ConstraintSpec | None, calls: Counter) -> None:
        spec = constraint if isinstance(constraint, CarrierSpec) else None
        self._tools = {tool.name: roles for tool in conversation.callable_tools if (roles := _roles(tool)) is not None}
        self._files = {normal(file.path): file for file in spec.files} if spec is not None else {}
        self._folder = spec.folder if spec is not None else ""
        self._counter = calls
        self._blocks = spec is not None and _BLOCKS in spec.tools
        self._said: list[str] = []
        self._tool: ToolRoles | None = None
        self._arguments: list[str] = []

    @property
    def reads_text(self) -> bool:
        """Whether edits may stand in plain text; else only calls matter here."""
        return self._blocks

    def take(self, piece: Piece) -> None:
        """One piece of the answer."""
        if isinstance(piece, CallStart):
            self._tool, self._arguments = self._tools.get(piece.name), []
        elif isinstance(piece, CallArguments) and self._tool is not None:
            self._arguments.append(piece.text)
        elif isinstance(piece, CallEnd) and self._tool is not None:
            self._count(self._tool, "".join(self._arguments))
            self._tool = None
        elif isinstance(piece, TextPiece) and self._blocks:
            self._said.append(piece.text)
        elif isinstance(piece, Finish):
            self._count_paths([path for path, _, _ in chat_blocks("".join(self._said))])

    def _count(self, tool: ToolRoles, text: str) -> None:
        arguments = arguments_in(text)
        if not tool.path:
            patch = arguments.get(tool.text, text)
            paths = [section.path for section in file_patches(str(patch)) if section.hunks]
        elif tool.path not in arguments:
            paths = []
        elif tool.edits:
            paths = [str(arguments[tool.path])] * len(edits_in(arguments.get(tool.edits)))
        else:
            paths = [str(arguments[tool.path])] if tool.old in arguments else []
        self._count_paths(paths)

    def _count_paths(self, paths: Iterable[str]) -> None:
        for path in paths:
            file = self._files.get(normal(path, self._folder))
            coverage = "uncovered" if file is None else "covered" if file.whole else "partly"
            self._counter.labels(coverage).inc()


def _files(known: Known) -> tuple[KnownFile, ...]:
    return tuple(
        KnownFile(path, text.pieces, text.whole)
        for path, text in known.texts.items()
        if not text.murky and (text.whole or any(text.pieces))
    )


def turns_of(conversation: Conversation) -> list[Turn]:
    """The conversation as known texts are followed."""
    return [_turn(message) for message in conversation.messages]


def roles_by_name(conversation: Conversation) -> dict[str, ToolRoles]:
    """What the callable tools do that change files."""
    tools = conversation.callable_tools
    return {tool.name: roles for tool in tools if (roles := _roles(tool, writes=True)) is not None}


def _turn(message: Message) -> Turn:
    calls = tuple(
        Call(id=call.id, name=call.name, arguments=call.arguments, plain=call.kind == "custom")
        for call in message.tool_calls
    )
    return Turn(role=message.role, text=message.text, calls=calls, answers=message.tool_call_id)


def _roles(tool: Tool, *, writes: bool = False) -> ToolRoles | None:
    """What an edit tool does, a shell that may hold a patch included; None: ``tool`` is none. ``writes``: see carrier_tool."""
    properties = _properties(tool)
    roles = roles_of(tool.name, properties, {name: item for name in properties if (item := _item(properties, name))})
    followed = roles is not None and (roles.quotes or roles.meaning == "shell" or (writes and roles.meaning == "write"))
    return roles if followed else None


def _properties(tool: Tool) -> Mapping[str, Any]:
    if tool.kind == "custom":
        return {"input": {"type": "string"}}
    properties = (tool.parameters or {}).get("properties")
    return properties if isinstance(properties, dict) else {}


def _item(properties: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The properties of the objects that a list holds; empty where it holds others."""
    schema = properties.get(name)
    items = schema.get("items") if isinstance(schema, dict) and schema.get("type") == "array" else None
    held = items.get("properties") if isinstance(items, dict) else None
    return held if isinstance(held, dict) else {}


def _comes_first(properties: Mapping[str, Any], name: str, other: str) -> bool:
    """Whether calls say ``name`` before ``other``: they keep to the schema's order."""
    order = list(properties)
    return name in order and order.index(name) < order.index(other)


def _any_text(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "string" and not any(key in schema for key in _BOUNDS)
