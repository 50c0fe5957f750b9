"""Tools as the dialects' tests offer them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Grammar:
    syntax: Literal["lark", "regex"]
    definition: str


@dataclass(frozen=True)
class Offered:
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    kind: Literal["function", "custom"] = "function"
    grammar: Grammar | None = None
    strict: bool = False


READ = Offered(
    "read",
    "Read a file.",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}, "tags": {"type": "array"}},
        "required": ["path"],
        "$schema": "http://json-schema.org/draft-07/schema#",
    },
)
NOW = Offered("now")
SHELL = Offered("shell", "Run a command.", kind="custom")
PATCH = Offered(
    "patch", kind="custom", grammar=Grammar("lark", 'start: "*** Begin\\n" LINE+ "*** End"\nLINE: /[+-].*\\n/')
)
DIGITS = Offered("digits", kind="custom", grammar=Grammar("regex", "[0-9]{2}(/[0-9]+)?"))
TOOLS = (READ, NOW, SHELL, PATCH, DIGITS)
