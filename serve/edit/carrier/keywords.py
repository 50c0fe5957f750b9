"""Follows the arguments of a call that is written as Python: ``name(path="a.py", old_string="x = 1\\n", all=True)``.

Strings are followed where they are spelled as in JSON, which is how the grammar of such calls has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dovetail.serve.edit.carrier.call import Call
from dovetail.serve.edit.carrier.watch import Heads, Listed, State, outside, value_begins

_BLANK = b" \t\r\n"
_QUOTE = b'"'
_NAME = re.compile(rb"\w*")
_VALUE_END = re.compile(rb"[,)\s]")


@dataclass(frozen=True, eq=False)
class Keywords(State):
    """Between keyword arguments, in a name, or in a value that is no string.

    ``text``: the name or the value so far; ``value``: it is the value of ``key``. ``depth`` and ``quoted``: of brackets in it.
    """

    heads: Heads
    call: Call
    key: str = ""
    value: bool = False
    text: bytes = b""
    depth: int = 0
    quoted: bool = False
    escape: bool = False

    def take(self, data: bytes, at: int) -> tuple[State, int]:
        byte = data[at : at + 1]
        if not self.value:
            return self._name(byte), at + 1
        if self.depth or self.text:
            return self._literal(byte, at)
        if byte in _BLANK:
            return self, at + 1
        if byte == _QUOTE:
            return value_begins(self.heads, self.call, self.key, _QUOTE), at + 1
        if byte == b"[" and self.key == self.call.tool.edits:
            return Listed(self.heads, self.call), at + 1
        return self._literal(byte, at)

    def _name(self, byte: bytes) -> State:
        if byte == b"=" and self.text:
            return replace(self, key=self.text.decode(errors="replace"), value=True, text=b"")
        if not self.text and (byte in _BLANK or byte == b","):
            return self
        if _NAME.fullmatch(byte) is None:
            return outside(self.heads, self.call, byte)
        return replace(self, text=self.text + byte)

    def _literal(self, byte: bytes, at: int) -> tuple[State, int]:
        """In a number, a word or something in brackets, of which only words mean anything."""
        if self.quoted:
            ended = byte == _QUOTE and not self.escape
            return replace(self, quoted=not ended, escape=byte == b"\\" and not self.escape), at + 1
        if not self.depth and _VALUE_END.match(byte):
            call = self.call.says(self.key, self.text.decode(errors="replace"))
            return Keywords(self.heads, call), at
        depth = self.depth + (byte in b"[({") - (byte in b"])}")
        return replace(self, text=(self.text + byte)[:8], depth=depth, quoted=byte == _QUOTE), at + 1


def keywords_begin(heads: Heads, call: Call, _: bytes) -> Keywords:
    """Between the arguments of a call."""
    return Keywords(heads, call)
