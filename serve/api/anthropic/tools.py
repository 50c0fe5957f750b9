"""Tools as the Messages API offers them. Tools that Anthropic runs or defines are told apart and named; nothing is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dovetail.serve.api.conversation.conversation import Tool, ToolChoice
from dovetail.serve.api.http.wire import as_list, as_object, as_text, optional_text, refuse


@dataclass(frozen=True)
class Offered:
    """What one request offers. ``unavailable``: the names of tools that this server cannot offer to the model."""

    tools: tuple[Tool, ...] = ()
    unavailable: tuple[str, ...] = ()


@dataclass
class ToolChanges:
    """What the messages change about the tools, the latest last.

    ``loaded``: names of tools that may be called from some point on. ``removed``: names of those that may not, any more.
    ``defined``: tools that only a message holds, as entries of ``tools``, each with its place.
    """

    loaded: list[str] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    defined: list[tuple[dict[str, Any], str]] = field(default_factory=list)

    def add(self, name: str) -> None:
        """The tool may be called from here on."""
        self.removed.discard(name)
        self.loaded.append(name)

    def remove(self, name: str) -> None:
        """The tool may not be called from here on."""
        self.removed.add(name)


def read_tools(value: Any, changes: ToolChanges | None = None) -> Offered:
    """The tools that the model is shown.

    A deferred tool is shown once a message loads it: behind the others, in the order of loading, wherever it stands in the
    list. So the prompt's beginning stays the same when one is loaded.
    """
    changes = changes if changes is not None else ToolChanges()
    tools: dict[str, Tool] = {}
    deferred: dict[str, Tool] = {}
    unavailable: list[str] = []
    listed = [
        (entry, f"tools[{index}]") for index, entry in enumerate(as_list([] if value is None else value, "tools"))
    ]
    for entry, at in [*listed, *changes.defined]:
        wire = as_object(entry, at)
        kind = optional_text(wire.get("type"), f"{at}.type")
        if kind not in ("", "custom"):
            unavailable.append(kind)
            continue
        tool = _tool(wire, at)
        late = wire.get("defer_loading") is True or tool.name in changes.loaded
        (deferred if late else tools)[tool.name] = tool
    loaded = [deferred[name] for name in dict.fromkeys(changes.loaded) if name in deferred]
    kept = (tool for tool in (*tools.values(), *loaded) if tool.name not in changes.removed)
    return Offered(tuple(kept), tuple(unavailable))


def read_tool_choice(value: Any, offered: Offered) -> tuple[ToolChoice, bool]:
    """Which tools may or must be called, and whether several at once."""
    if value is None:
        return ToolChoice(), True
    wire = as_object(value, "tool_choice")
    parallel = wire.get("disable_parallel_tool_use") is not True
    kind = wire.get("type")
    names = [tool.name for tool in offered.tools]
    if kind == "auto":
        return ToolChoice(), parallel
    if kind == "none":
        return ToolChoice(mode="none"), parallel
    if kind == "any":
        if not names:
            refuse("tool_choice", "asks for a call, but tools holds none that can be called here")
        return ToolChoice(mode="required"), parallel
    if kind != "tool":
        refuse("tool_choice.type", "must be auto, any, tool or none")
    name = as_text(wire.get("name"), "tool_choice.name")
    if name not in names:
        refuse("tool_choice.name", f"{name!r} is not among the offered tools")
    return ToolChoice(mode="required", names=(name,)), parallel


def _tool(wire: dict[str, Any], at: str) -> Tool:
    name = as_text(wire.get("name"), f"{at}.name")
    if not name:
        refuse(f"{at}.name", "must not be empty")
    schema = wire.get("input_schema")
    return Tool(
        name=name,
        description=optional_text(wire.get("description"), f"{at}.description"),
        parameters=None if schema is None else as_object(schema, f"{at}.input_schema"),
        strict=wire.get("strict") is True,
        path=f"{at}.input_schema",
    )
