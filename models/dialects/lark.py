"""Writes Lark grammars of tool calls, in llguidance's variant of the language. Compiles none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from dovetail.models.dialects.pieces import INPUT, OfferedTool, schema_of
from dovetail.models.dialects.schemas import is_text, properties_of, standing_alone

_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Lark:
    """A grammar in the making: rules with names of their own, and a way to write literals.

    Args:
        special: the special tokens among a dialect's markers, with their ids.
        ends: those of them that end the output: the engine takes care of these.
    """

    def __init__(self, special: Mapping[str, int], ends: Collection[str] = ()) -> None:
        self._special = dict(special)
        self._ends = frozenset(ends)
        self._split = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
        self._rules: dict[str, str] = {}
        self._bodies: dict[str, str] = {}

    def literal(self, text: str) -> str:
        """``text``, its special tokens as such."""
        parts: list[str] = []
        at = 0
        for hit in self._split.finditer(text):
            parts.append(_quoted(text[at : hit.start()]))
            if hit.group() not in self._ends:
                parts.append(f"<[{self._special[hit.group()]}]>")
            at = hit.end()
        parts.append(_quoted(text[at:]))
        return " ".join(part for part in parts if part) or '""'

    def rule(self, body: str, attributes: str = "", *, terminal: bool = False) -> str:
        """Add a rule, unless there is the same already; its name."""
        text = f"{attributes}: {body}"
        name = f"{'T' if terminal else 'r'}{len(self._rules)}"
        return self._rules.setdefault(text, name)

    def nested(self, body: Callable[[str], str]) -> str:
        """Add a rule that refers to itself: ``body`` is told its name. The same body makes the same rule."""
        name = f"n{len(self._rules)}"
        key = f": {body('itself')}"
        if key not in self._rules:
            self._rules[key] = name
            self._bodies[name] = f": {body(name)}"
        return self._rules[key]

    def json(self, schema: Mapping[str, Any], *, lenient: bool = True) -> str:
        """Any value that is valid against ``schema``, written without needless white space.

        Args:
            lenient: what cannot be enforced is left out, instead of refused.
        """
        options = {**_COMPACT, "lenient": lenient, "coerce_one_of": lenient}
        return self.rule(f"%json {json.dumps({**schema, 'x-guidance': options})}")

    def any_text(self, closer: str, *, beginning: str = "") -> str:
        """Any text that goes on to ``closer``, which is consumed; ``beginning``: as :meth:`text_without` has it."""
        terminal = self.rule(f"/(?s:.*)/{beginning}", terminal=True)
        if self._split.match(closer):
            return f"{terminal} {self.literal(closer)}"
        return self.rule(terminal, f"[suffix={_quoted(closer)}]")

    def text_without(self, literal: str, *, beginning: str = "") -> str:
        """Any text without ``literal`` in it (a special token is in no text).

        Args:
            beginning: what :meth:`not_beginning` made, if the text must not begin with something.
        """
        inside = "" if not literal or self._split.match(literal) else f" & ~/(?s:.*{_escaped(literal)}.*)/"
        return self.rule(f"/(?s:.*)/{inside}{beginning}", terminal=True)

    def not_beginning(self, pattern: str | None) -> str:
        """The rest of a terminal that must not begin with ``pattern``, a regular expression."""
        return f" & ~/{pattern}(?s:.*)/" if pattern else ""

    def not_beginning_with(self, literal: str) -> str:
        """The same for a literal behind white space; nothing for a special token, which is in no text."""
        return "" if self._split.match(literal) else self.not_beginning(rf"\s*{_escaped(literal)}")

    def arguments(self, tool: OfferedTool) -> str:
        """A tool's arguments as JSON."""
        schema = dict(schema_of(tool))
        if tool.kind == "custom" and tool.grammar is not None and tool.grammar.syntax == "regex":
            pattern = f"^(?:{tool.grammar.definition})$"
            schema["properties"] = {INPUT: {"type": "string", "pattern": pattern}}
        schema.setdefault("type", "object")
        return self.json(schema, lenient=not tool.strict)

    def plain_input(self, tool: OfferedTool, closer: str) -> str:
        """A custom tool's input as it is, and ``closer``; without one it goes on to the end or to a special token."""
        if tool.grammar is None:
            return self.any_text(closer) if closer else self.text_without("")
        if tool.grammar.syntax == "regex":
            body = self.rule(_slashed(tool.grammar.definition), terminal=True)
        else:
            body = self.rule(f"%lark {{\n{tool.grammar.definition}\n}}")
        return f"{body} {self.literal(closer)}" if closer else body

    def either(self, alternatives: Iterable[str]) -> str:
        """One of ``alternatives``."""
        return self.rule("\n  | ".join(alternatives))

    def several(self, one: str, joint: str, parallel: bool) -> str:
        """``one``, or if ``parallel`` any number with ``joint`` between."""
        if not parallel:
            return one
        return f"{one} ({joint} {one})*" if joint else f"{one}+"

    def text(self, start: str) -> str:
        """The whole grammar."""
        return "\n".join(
            [
                "%llguidance {}",
                f"start: {start}",
                *(f"{name}{self._bodies.get(name, text)}" for text, name in self._rules.items()),
                "",
            ]
        )


def json_call(lark: Lark, tool: OfferedTool, key: str = "arguments", *, before: str = "", after: str = "") -> str:
    """``{"name": ..., "arguments": ...}`` behind ``before``; ``after``: what may follow the arguments, a Lark expression. One literal up to the arguments: llguidance reads the longest
    literal that fits, and goes back to no shorter one."""
    head = f'{before}{{"name": {json.dumps(tool.name)}, "{key}": '
    return f'{lark.literal(head)} {lark.arguments(tool)} {after} "}}"'


def named_values(lark: Lark, tool: OfferedTool, opening: Sequence[str], closer: str) -> str:
    """Parameters written one by one in the schema's order: ``opening[0] name opening[1] value closer``."""
    schema = schema_of(tool)
    properties = properties_of(schema)
    required = schema.get("required")
    parts = []
    for name, value in properties.items():
        part = f"{lark.literal(opening[0] + name + opening[1])} {_plain_value(lark, tool, value, closer)}"
        needed = isinstance(required, list) and name in required
        parts.append(part if needed else f"({part})?")
    return " ".join(parts) or '""'


def _plain_value(lark: Lark, tool: OfferedTool, schema: Any, closer: str) -> str:
    if tool.kind == "custom":
        return lark.plain_input(tool, closer)
    if not is_text(schema):
        return f"{lark.json(standing_alone(schema, schema_of(tool)), lenient=not tool.strict)} {lark.literal(closer)}"
    values = schema.get("enum") if isinstance(schema, dict) else None
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return f"({' | '.join(lark.literal(value + closer) for value in values)})"
    return lark.any_text(closer)


def _escaped(text: str) -> str:
    """``text`` in a regular expression between slashes."""
    return re.escape(text).replace("/", "\\/")


def _slashed(pattern: str) -> str:
    return "/" + re.sub(r"(?<!\\)((?:\\\\)*)/", r"\1\\/", pattern).replace("\n", "\\n") + "/"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""
