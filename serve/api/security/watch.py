"""What is said of the security of one answer: code that is found while it is told, tools' results that give orders, and the end.

Knows pieces and conversations; finds nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec

from dovetail.serve.api.conversation.conversation import Conversation, Message, Tool
from dovetail.serve.api.conversation.pieces import CallArguments, CallEnd, CallStart, Finish, Piece, TextPiece
from dovetail.serve.api.security.fields import SecurityField, told_findings
from dovetail.serve.api.security.plain import LONG
from dovetail.serve.edit.known.follow import arguments_in
from dovetail.serve.edit.known.patches import file_patches
from dovetail.serve.edit.known.tools import ToolRoles, roles_of
from dovetail.serve.govern.findings.answer import AnswerScan
from dovetail.serve.govern.findings.outside import scan_file
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.govern.findings.scan import Found, Scan, code_key
from dovetail.serve.govern.findings.tool_results import Suspicion, canaries, suspicions
from dovetail.serve.types import Usage


class Shown:
    """The code of a conversation, which its answer may say again; and what tools' results try."""

    def __init__(self, conversation: Conversation) -> None:
        self._canary = conversation.security.canary if conversation.security is not None else None
        self._messages = conversation.messages
        self.tools = conversation.callable_tools

    def holds(self, key: str) -> bool:
        """Whether the code, without blanks, has been shown."""
        return key in self._keys

    @cached_property
    def is_long(self) -> bool:
        """Whether it takes a while to find out what has been shown."""
        return sum(len(message.text) for message in self._messages) > LONG

    @cached_property
    def _keys(self) -> str:
        texts = [message.text for message in self._messages]
        texts += [call.arguments for message in self._messages for call in message.tool_calls]
        texts += [
            value
            for message in self._messages
            for call in message.tool_calls
            for value in arguments_in(call.arguments).values()
            if isinstance(value, str)
        ]
        return code_key("\n".join(texts).encode("utf-8", "replace"))

    @cached_property
    def suspicions(self) -> list[Suspicion]:
        """In the results that came since the model last answered: earlier ones have been told."""
        last = max((index for index, each in enumerate(self._messages) if each.role == "assistant"), default=-1)
        results = [
            (index, self._tool_of(each), each.text)
            for index, each in enumerate(self._messages)
            if each.role == "tool" and index > last
        ]
        return [*suspicions(results), *(canaries(self._canary, results) if self._canary else ())]

    def _tool_of(self, result: Message) -> str:
        calls = [call for message in self._messages for call in message.tool_calls]
        return result.name or next((call.name for call in calls if call.id == result.tool_call_id), "")


class AnswerWatch:
    """One answer while it is told.

    Args:
        prompt_tokens: for the usage of an answer that is ended here.
    """

    def __init__(self, rules: RuleSet, shown: Shown, asked: SecurityField | None, prompt_tokens: int) -> None:
        self._rules = rules
        self._shown = shown
        self._asked = asked
        self._prompt_tokens = prompt_tokens
        self._text = AnswerScan(rules, shown.holds)
        self._roles = {tool.name: roles for tool in shown.tools if (roles := _roles(tool)) is not None} if rules else {}
        self._tool: ToolRoles | None = None
        self._arguments: list[str] = []
        self._held: list[Piece] = []
        self._calls: list[Found] = []
        self._complete = True
        self.tokens = 0

    @property
    def blocked(self) -> bool:
        """Whether the answer has ended by a finding."""
        return self._text.blocked or (bool(self._calls) and any(each.action == "block" for each in self._calls))

    @property
    def found(self) -> list[Found]:
        """Findings so far."""
        return [*self._text.found, *self._calls]

    def may_scan(self, pieces: Sequence[Piece]) -> bool:
        """Whether ``take`` may have to wait for a scan, so that it belongs in a thread."""
        return bool(self._rules) and any(map(self._may_wait, pieces))

    def _may_wait(self, piece: Piece) -> bool:
        if isinstance(piece, TextPiece):
            return "\n" in piece.text and (self._shown.is_long or self._text.may_wait(piece.text))
        if isinstance(piece, Finish):
            return self._text.may_wait(None)
        return isinstance(piece, CallStart) or (isinstance(piece, CallEnd) and self._tool is not None)

    def take(self, pieces: Sequence[Piece]) -> list[Piece]:
        """What may be told of ``pieces``; where a finding ends the answer, its end."""
        if not self._rules:
            return [self._ended(each) if isinstance(each, Finish) else each for each in pieces]
        told: list[Piece] = []
        for piece in pieces:
            if isinstance(piece, TextPiece) and "\n" not in piece.text:
                # Most pieces by far: nothing can be found in them.
                told += self._said(piece)
                continue
            told += self._one(piece)
            if self.blocked:
                usage = piece.usage if isinstance(piece, Finish) else self._usage
                security = told_findings(self.found, self._asked, complete=self._complete, blocked=True)
                return [*told, Finish("content_filter", usage, security=self._with_suspicions(security))]
        return told

    @property
    def _usage(self) -> Usage:
        return Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self.tokens)

    def _said(self, piece: TextPiece) -> list[Piece]:
        text = self._text.feed(piece.text)
        if text == piece.text:
            return [piece]
        return [TextPiece(text)] if text else []

    def _one(self, piece: Piece) -> list[Piece]:
        if isinstance(piece, TextPiece):
            return self._said(piece)
        if isinstance(piece, CallStart):
            self._tool, self._arguments = self._roles.get(piece.name), []
        elif isinstance(piece, CallArguments) and self._tool is not None:
            self._arguments.append(piece.text)
        elif isinstance(piece, Finish):
            rest = self._text.finish()
            self._complete = self._complete and self._text.complete
            before: list[Piece] = [TextPiece(rest)] if rest else []
            return before if self.blocked else [*before, self._ended(piece)]
        if self._tool is None or not self._rules.blocking:
            if isinstance(piece, CallEnd):
                self._call_ended()
            return [piece]
        self._held.append(piece)
        if not isinstance(piece, CallEnd):
            return []
        self._call_ended()
        held, self._held = self._held, []
        return [] if self.blocked else held

    def _call_ended(self) -> None:
        tool, self._tool = self._tool, None
        for path, old, new in _changes(tool, "".join(self._arguments)) if tool is not None else ():
            scan: Scan = scan_file(self._rules, path, new, old)
            self._calls += [each for each in scan.found if not self._shown.holds(each.key)]
            self._complete = self._complete and scan.complete

    def _ended(self, piece: Finish) -> Finish:
        told = self._rules or self._shown.suspicions
        security = told_findings(self.found, self._asked, complete=self._complete) if told else None
        return Finish(
            piece.reason,
            piece.usage,
            piece.stop,
            piece.reasoning_tokens,
            piece.constraint,
            self._with_suspicions(security),
        )

    def _with_suspicions(self, security: dict[str, Any] | None) -> dict[str, Any] | None:
        if security is not None and self._shown.suspicions:
            security["tool_results"] = [msgspec.to_builtins(each) for each in self._shown.suspicions]
        return security


def _roles(tool: Tool) -> ToolRoles | None:
    properties = (tool.parameters or {}).get("properties")
    roles = roles_of(tool.name, tuple(properties) if isinstance(properties, dict) else ())
    return roles if roles is not None and roles.meaning in ("replace", "write", "editor", "patch") else None


def _changes(tool: ToolRoles, text: str) -> list[tuple[str, str, str]]:
    """Path, old and new text of what a call changes."""
    arguments = arguments_in(text)
    if tool.meaning == "patch":
        patch = str(arguments.get(tool.text, text))
        return [
            (each.moved_to or each.path, old, new)
            for each in file_patches(patch)
            for old, new in (each.hunks or [("", each.added or "")])
        ]
    path = arguments.get(tool.path)
    new = arguments.get(tool.new) if tool.new in arguments else arguments.get(tool.text)
    old = arguments.get(tool.old, "")
    return [(path, str(old or ""), new)] if isinstance(path, str) and isinstance(new, str) else []
