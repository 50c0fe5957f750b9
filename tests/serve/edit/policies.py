"""Policies in tests: harsh ones, a file, and how far a text gets under one."""

from __future__ import annotations

from typing import Any

from byte_pairs import vocabulary
from formats import compiled

from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.types import EditFormat, SourceFile

NO_CALLS: dict[str, Any] = {"calls": [{"id": "no-calls", "forbid": ["*"]}]}
NO_IMPORTS: dict[str, Any] = {"imports": [{"id": "no-imports", "paths": ["**"], "forbid": ["**"]}]}
A = SourceFile("src/a.py", "import os\n\n\ndef f(x):\n    return g(x)\n")


def feed(name: EditFormat, files: list[SourceFile], table: dict[str, Any], output: str) -> int:
    """How many bytes of ``output`` are accepted, byte by byte."""
    state, _ = compiled(name, files, operations=FORMATS[name].operations, policy=Policy([parse_policy(table)]).texts)
    tokens = vocabulary()
    for count, byte in enumerate(output.encode()):
        token = tokens.prefixes[bytes((byte,))][0]
        if not state.allows(token):
            return count
        state = state.advance(token)
    return len(output.encode())
