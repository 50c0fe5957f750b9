"""Tools as Chat Completions offers them, and as it did when they were functions. Renders and calls nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dovetail.serve.api.conversation.conversation import Tool, ToolChoice, ToolGrammar
from dovetail.serve.api.http.wire import as_list, as_object, as_text, optional_text, refuse
from dovetail.serve.constrain.grammar.lark import names_tokens

_NAME = re.compile(r"[\w.:/\-]{1,256}")


@dataclass(frozen=True)
class Offered:
    """The tools of one request. ``ignored``: the places of those that this server cannot offer to a model."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    ignored: tuple[str, ...] = ()


def read_tools(tools: Any, choice: Any) -> Offered:
    """``tools`` and ``tool_choice``. Tools that OpenAI itself runs are left out; a name is offered once."""
    kept: dict[str, Tool] = {}
    ignored = []
    for index, item in enumerate(as_list(tools if tools is not None else [], "tools")):
        path = f"tools[{index}]"
        wire = as_object(item, path)
        kind = as_text(wire.get("type", "function"), f"{path}.type")
        if kind == "function":
            tool = _function(wire.get("function"), f"{path}.function")
        elif kind == "custom":
            tool = _custom(wire.get("custom"), f"{path}.custom")
        else:
            ignored.append(path)
            continue
        if tool.name in kept:
            ignored.append(path)
        kept.setdefault(tool.name, tool)
    return Offered(tuple(kept.values()), _choice(choice, kept), tuple(ignored))


def read_functions(functions: Any, choice: Any) -> Offered:
    """The legacy ``functions`` and ``function_call``."""
    tools = [_function(item, f"functions[{index}]") for index, item in enumerate(as_list(functions or [], "functions"))]
    names = [tool.name for tool in tools]
    if choice is None or choice in ("auto", "none"):
        return Offered(tuple(tools), ToolChoice(mode="none" if choice == "none" else "auto"))
    wire = as_object(choice, "function_call")
    name = _offered(wire.get("name"), names, "function_call.name")
    return Offered(tuple(tools), ToolChoice(mode="required", names=(name,)))


def _function(value: Any, path: str) -> Tool:
    wire = as_object(value, path)
    parameters = wire.get("parameters")
    if parameters is not None:
        as_object(parameters, f"{path}.parameters")
    return Tool(
        name=_name(wire.get("name"), f"{path}.name"),
        description=optional_text(wire.get("description"), f"{path}.description"),
        parameters=parameters,
        strict=wire.get("strict") is True,
        path=f"{path}.parameters",
    )


def _custom(value: Any, path: str) -> Tool:
    wire = as_object(value, path)
    return Tool(
        name=_name(wire.get("name"), f"{path}.name"),
        description=optional_text(wire.get("description"), f"{path}.description"),
        kind="custom",
        grammar=_grammar(wire.get("format"), f"{path}.format"),
        path=f"{path}.format",
    )


def _grammar(value: Any, path: str) -> ToolGrammar | None:
    if value is None:
        return None
    wire = as_object(value, path)
    if wire.get("type") == "text":
        return None
    if wire.get("type") != "grammar":
        refuse(f"{path}.type", "must be text or grammar")
    inner, at = (wire["grammar"], f"{path}.grammar") if "grammar" in wire else (wire, path)
    grammar = as_object(inner, at)
    syntax = grammar.get("syntax")
    if syntax not in ("lark", "regex"):
        refuse(f"{at}.syntax", "must be lark or regex")
    definition = as_text(grammar.get("definition"), f"{at}.definition")
    if syntax == "lark" and names_tokens(definition):
        refuse(f"{at}.definition", "names tokens by id (<[...]>), which only text may be matched by here")
    return ToolGrammar(syntax=syntax, definition=definition)


def _name(value: Any, path: str) -> str:
    name = as_text(value, path)
    if not _NAME.fullmatch(name):
        refuse(path, "must be 1 to 256 letters, digits or any of _ . : / -")
    return name


def _choice(value: Any, tools: dict[str, Tool]) -> ToolChoice:
    path = "tool_choice"
    if value is None or value == "auto":
        return ToolChoice()
    if value == "none":
        return ToolChoice(mode="none")
    if value in ("required", "any"):
        if not tools:
            refuse(path, "asks for a call, but tools holds none that can be called here")
        return ToolChoice(mode="required")
    if not isinstance(value, dict):
        refuse(path, "must be auto, none, required or an object that names tools")
    if value.get("type") == "allowed_tools":
        return _allowed(value, tools)
    return ToolChoice(mode="required", names=(_chosen(value, tools, path),))


def _allowed(value: dict[str, Any], tools: dict[str, Tool]) -> ToolChoice:
    path = "tool_choice.allowed_tools"
    wire = as_object(value.get("allowed_tools"), path)
    mode = wire.get("mode", "auto")
    if mode not in ("auto", "required"):
        refuse(f"{path}.mode", "must be auto or required")
    names = [
        _chosen(as_object(item, f"{path}.tools[{index}]"), tools, f"{path}.tools[{index}]")
        for index, item in enumerate(as_list(wire.get("tools"), f"{path}.tools"))
    ]
    if not names:
        refuse(f"{path}.tools", "must hold at least one tool")
    return ToolChoice(mode=mode, names=tuple(names))


def _chosen(wire: dict[str, Any], tools: Iterable[str], path: str) -> str:
    kind = wire.get("type")
    if kind not in ("function", "custom"):
        refuse(f"{path}.type", "must be function, custom or (of tool_choice) allowed_tools")
    named = as_object(wire.get(kind), f"{path}.{kind}")
    return _offered(named.get("name"), tools, f"{path}.{kind}.name")


def _offered(value: Any, names: Iterable[str], path: str) -> str:
    name = as_text(value, path)
    if name not in names:
        refuse(path, f"{name!r} is not among the offered tools")
    return name
