"""What one request's constraint is made of: the files prepared, the literals as bytes, the syntax gates.

Immutable but for caches, shared by all states of the request. Knows no zones.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property

from dovetail.serve.constrain.copy.prepared import PreparedFile
from dovetail.serve.constrain.copy.quotation import Quotable
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.constrain.utf8 import controls_for
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.markers import check_markers, closing_run
from dovetail.serve.errors import UserError
from dovetail.serve.types import EditSpec, SourceFile

_LONG_LINE = 1024


class Target:
    """One file that may be edited."""

    def __init__(self, file: SourceFile, header: bytes, divider: bytes, vocabulary: Vocabulary) -> None:
        self.path = file.path
        self.header = header
        content = file.content.encode()
        digest = hashlib.sha256(content).digest()
        self.prepared = vocabulary.derived(("prepared", digest), lambda: PreparedFile(content), len(content))
        self.quotable = vocabulary.derived(
            ("quotable", digest, divider), lambda: Quotable(self.prepared, divider, vocabulary), len(content)
        )
        self._vocabulary = vocabulary
        self._digest = digest

    @cached_property
    def gate(self) -> SyntaxGate:
        """The syntax gate of the file; its original is parsed when this is first asked for."""
        key = ("gate", self.path, self._digest)
        raw = self.prepared.raw
        return self._vocabulary.derived(key, lambda: SyntaxGate(self.path, raw), len(raw))

    @cached_property
    def controls(self) -> re.Pattern[bytes]:
        """Finds the control characters that a replacement in this file may not hold."""
        return controls_for(self.prepared.raw)

    @cached_property
    def usual_controls(self) -> bool:
        """Whether the file holds no control character beyond the usual four."""
        return self.controls is controls_for(b"")


class Plan:
    """The specification, compiled.

    Raises:
        UserError: no files, a path given twice or not one line, or markers that a file holds.
    """

    refusal_limit = 3
    """Refused terminators after which a block must go back to where it could have ended."""
    retreat_limit = 8
    """Times an output may go back before it may only end."""

    def __init__(self, spec: EditSpec, vocabulary: Vocabulary) -> None:
        if not spec.files:
            raise UserError("An edit needs at least one file.", param="files")
        check_markers(spec.markers, spec.files)
        self.vocabulary = vocabulary
        self.search_line = _line(spec.markers.search, "markers.search")
        self.divider_line = _line(spec.markers.divider, "markers.divider")
        self.replace_line = _line(spec.markers.replace, "markers.replace")
        self.closing_run = closing_run(spec.markers.replace).encode()
        seen: set[str] = set()
        targets = []
        for index, file in enumerate(spec.files):
            param = f"files[{index}]"
            if file.path in seen or not file.path or re.search(r"[\x00-\x1f\x7f]", file.path):
                raise UserError(f"{file.path!r}: a path must be one line, and given once.", param=f"{param}.path")
            seen.add(file.path)
            try:
                header = _line(file.path, f"{param}.path") + self.search_line
                targets.append(Target(file, header, self.divider_line, vocabulary))
            except UnicodeEncodeError as error:
                raise UserError(f"{file.path}: not valid Unicode text.", param=f"{param}.content") from error
        self.targets = tuple(targets)

    def tokens_after(self, context: bytes, text: bytes) -> list[int]:
        """``text`` as the tokenizer writes it behind ``context``, which begins a line.

        If no token begins where ``text`` does, or the line is long, as it writes ``text`` by itself; empty if that is
        not possible either.
        """
        try:
            if len(context) > _LONG_LINE:
                return self.vocabulary.encode(text.decode())
            tokens = self.vocabulary.encode((context + text).decode())
            position = 0
            for index, token in enumerate(tokens):
                if position == len(context):
                    return tokens[index:]
                position += len(self.vocabulary.spelling(token) or b"")
                if position > len(context):
                    break
            return self.vocabulary.encode(text.decode())
        except UnicodeDecodeError:
            return []


def _line(text: str, param: str) -> bytes:
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError as error:
        raise UserError(f"{text!r} is not valid Unicode text.", param=param) from error
