"""Tools as the Responses API offers them: functions, custom tools and namespaces, flattened for the model and named back.

Tools that OpenAI itself runs (web search, shells, ...) are told apart and declared unavailable. Renders and calls nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dovetail.serve.api.conversation.conversation import Tool, ToolChoice, ToolGrammar
from dovetail.serve.api.http.wire import as_list, as_object, as_text, optional_text, refuse

SEPARATOR = "__"
"""Between a namespace and a tool's name in the one flat name that chat templates know."""

SYNTAXES = ("lark", "regex")


@dataclass(frozen=True)
class ToolNames:
    """The flat names of namespaced tools, both ways."""

    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def restore(self, flat: str) -> tuple[str | None, str]:
        """Namespace, if any, and name."""
        return self.places.get(flat, (None, flat))

    @staticmethod
    def flatten(name: str, namespace: str | None) -> str:
        """The flat name; the same whether or not the tool is offered now."""
        return f"{namespace}{SEPARATOR}{name}" if namespace else name


@dataclass(frozen=True)
class Offered:
    """What one request offers.

    ``shown``: the tools that can be called, as the answer repeats them. ``unavailable``: the others, each with a reason.
    """

    tools: tuple[Tool, ...] = ()
    names: ToolNames = field(default_factory=ToolNames)
    shown: tuple[dict[str, Any], ...] = ()
    unavailable: tuple[dict[str, Any], ...] = ()


def read_tools(lists: list[tuple[Any, str]]) -> Offered:
    """The tools of several lists, each with its path; a tool of a name that was there before replaces it."""
    tools: dict[str, Tool] = {}
    places: dict[str, tuple[str, str]] = {}
    shown: dict[str, dict[str, Any]] = {}
    unavailable: list[dict[str, Any]] = []
    for value, path in lists:
        for index, entry in enumerate(as_list(value, path)):
            at = f"{path}[{index}]"
            wire = as_object(entry, at)
            kind = as_text(wire.get("type", "function"), f"{at}.type")
            if kind in ("function", "custom"):
                tool = _tool(wire, kind, at)
                tools[tool.name] = tool
                shown[tool.name] = _shown(wire, kind)
            elif kind == "namespace":
                members = _namespace(wire, at)
                tools |= {flat: tool for flat, (_, tool) in members.items()}
                places |= {flat: (wire["name"], name) for flat, (name, _) in members.items()}
                shown[f"namespace {wire['name']}"] = {"description": "", **wire}
            else:
                unavailable.append(_unavailable(wire, kind))
    return Offered(tuple(tools.values()), ToolNames(places), tuple(shown.values()), tuple(unavailable))


def read_tool_choice(value: Any, offered: Offered, path: str = "tool_choice") -> ToolChoice:
    """Which of the offered tools may or must be called."""
    names = {tool.name for tool in offered.tools}
    if value is None or value == "auto":
        return ToolChoice()
    if value == "none":
        return ToolChoice(mode="none")
    if value == "required":
        if not names:
            refuse(path, "is required, but tools holds none that can be called here")
        return ToolChoice(mode="required")
    if not isinstance(value, dict):
        refuse(path, "must be auto, none, required or an object that names tools")
    kind = value.get("type")
    if kind in ("function", "custom"):
        return ToolChoice(mode="required", names=(_chosen(value, names, path),))
    if kind != "allowed_tools":
        refuse(f"{path}.type", f"{kind!r} is not available on this server", "unsupported_parameter")
    return _allowed(value, offered, path)


def _allowed(value: dict[str, Any], offered: Offered, path: str) -> ToolChoice:
    mode = value.get("mode", "auto")
    if mode not in ("auto", "required"):
        refuse(f"{path}.mode", "must be auto or required")
    names = {tool.name for tool in offered.tools}
    allowed = []
    for index, entry in enumerate(as_list(value.get("tools"), f"{path}.tools")):
        at = f"{path}.tools[{index}]"
        if as_object(entry, at).get("type", "function") in ("function", "custom"):
            allowed.append(_chosen(entry, names, at))
        elif entry["type"] == "namespace":
            inside = as_text(entry.get("name"), f"{at}.name")
            allowed += [flat for flat, (namespace, _) in offered.names.places.items() if namespace == inside]
    if not allowed:
        if mode == "required":
            refuse(f"{path}.tools", "must hold a tool that can be called here")
        return ToolChoice(mode="none")
    return ToolChoice(mode=mode, names=tuple(allowed))


def _chosen(entry: dict[str, Any], names: set[str], path: str) -> str:
    name = as_text(entry.get("name"), f"{path}.name")
    flat = ToolNames.flatten(name, optional_text(entry.get("namespace"), f"{path}.namespace"))
    if flat not in names:
        refuse(f"{path}.name", f"{name!r} is not among the offered tools")
    return flat


def _namespace(wire: dict[str, Any], at: str) -> dict[str, tuple[str, Tool]]:
    namespace = as_text(wire.get("name"), f"{at}.name")
    about = optional_text(wire.get("description"), f"{at}.description")
    members: dict[str, tuple[str, Tool]] = {}
    for index, entry in enumerate(as_list(wire.get("tools"), f"{at}.tools")):
        inside = f"{at}.tools[{index}]"
        kind = as_text(as_object(entry, inside).get("type", "function"), f"{inside}.type")
        if kind not in ("function", "custom"):
            refuse(f"{inside}.type", f"{kind!r} is not a tool that a namespace can hold")
        tool = _tool(entry, kind, inside, namespace, "" if members else about)
        members[tool.name] = (entry["name"], tool)
    return members


def _tool(wire: dict[str, Any], kind: str, at: str, namespace: str | None = None, about: str = "") -> Tool:
    name = as_text(wire.get("name"), f"{at}.name")
    if not name:
        refuse(f"{at}.name", "must not be empty")
    description = optional_text(wire.get("description"), f"{at}.description")
    described = "\n".join(text for text in (about, description) if text)
    flat = ToolNames.flatten(name, namespace)
    if kind == "custom":
        return Tool(
            name=flat,
            description=described,
            kind="custom",
            grammar=_grammar(wire.get("format"), at),
            path=f"{at}.format",
        )
    parameters = wire.get("parameters")
    if parameters is not None:
        as_object(parameters, f"{at}.parameters")
    strict = wire.get("strict") is True
    return Tool(name=flat, description=described, parameters=parameters, strict=strict, path=f"{at}.parameters")


def _grammar(value: Any, at: str) -> ToolGrammar | None:
    if value is None:
        return None
    wire = as_object(value, f"{at}.format")
    if wire.get("type") == "text":
        return None
    if wire.get("type") != "grammar":
        refuse(f"{at}.format.type", "must be text or grammar")
    syntax = wire.get("syntax")
    if syntax not in SYNTAXES:
        refuse(f"{at}.format.syntax", "must be lark or regex")
    return ToolGrammar(syntax=syntax, definition=as_text(wire.get("definition"), f"{at}.format.definition"))


def _shown(wire: dict[str, Any], kind: str) -> dict[str, Any]:
    if kind == "custom":
        return {"type": "custom", **wire}
    return {"type": "function", "description": None, "parameters": None, "strict": None, **wire}


def _unavailable(wire: dict[str, Any], kind: str) -> dict[str, Any]:
    reason = "This server runs no tools itself; offer a function, custom or namespace tool that the client runs."
    named = {"name": wire["name"]} if isinstance(wire.get("name"), str) else {}
    return {"type": kind, **named, "reason": reason}
