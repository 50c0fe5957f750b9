"""The server's policy over the calls of an answer: what it finds in them once they are complete, and how the answer says so.

Holds nothing back: what could be held while the calls were written has been (serve/edit/carrier).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dovetail.serve.api.conversation.carriers import roles_by_name, turns_of
from dovetail.serve.api.conversation.conversation import Conversation
from dovetail.serve.api.conversation.pieces import CallArguments, CallStart, Finish, Piece
from dovetail.serve.api.edits.policy import finding_of
from dovetail.serve.edit.carrier.ruling import Project, closed
from dovetail.serve.edit.known.follow import Call, Turn, arguments_in, known_texts
from dovetail.serve.edit.known.patches import file_patches
from dovetail.serve.edit.policy.combine import FileChange, Policy
from dovetail.serve.types import Finding, KnownFile


class CallJudge:
    """Takes the pieces of one answer; ``report``, once they are complete, is what the policy says of its calls."""

    def __init__(self, conversation: Conversation, policy: Policy) -> None:
        self._conversation = conversation
        self._policy = policy
        self._tools = roles_by_name(conversation)
        self._calls: list[Call] = []

    def take(self, piece: Piece) -> None:
        """One piece of the answer."""
        if isinstance(piece, CallStart):
            self._calls.append(Call(id=piece.id, name=piece.name, arguments="", plain=piece.kind == "custom"))
        elif isinstance(piece, CallArguments):
            call = self._calls[-1]
            self._calls[-1] = Call(id=call.id, name=call.name, arguments=call.arguments + piece.text, plain=call.plain)

    @property
    def has_edits(self) -> bool:
        """Whether an edit tool was called."""
        return any(call.name in self._tools for call in self._calls)

    def report(self, end: Finish) -> dict[str, Any]:
        """What an answer that calls edit tools says beside its own protocol."""
        edits = [call for call in self._calls if call.name in self._tools]
        vetoes = end.constraint.vetoes if end.constraint is not None else ()
        return {
            "policy": {
                "digest": self._policy.digest,
                "findings": [finding_of(each) for each in self._findings(edits)],
                "refused": [finding_of(each) for each in vetoes],
            }
        }

    def _findings(self, calls: list[Call]) -> Iterator[Finding]:
        turns = turns_of(self._conversation)
        before = known_texts(turns)
        results = [Turn(role="tool", text="Done.", answers=call.id) for call in calls]
        after = known_texts([*turns, Turn(role="assistant", calls=tuple(calls)), *results])
        project = Project(self._policy, before.folder)
        named = list(dict.fromkeys(path for call in calls for path in self._paths(call)))
        for path in named:
            if not project.may_edit(path):
                yield closed(path)
        changes = []
        for path, text in after.texts.items():
            was = before.texts.get(path)
            if not text.whole or was == text or (was is not None and not was.whole):
                continue
            old = was.pieces[0] if was is not None else ""
            name = project.name(path)
            if was is not None:
                yield from _protected(project, KnownFile(path, (old,), True), text.pieces[0])
            changes.append(
                FileChange(
                    name if was is not None else None,
                    name,
                    old.encode(errors="replace"),
                    text.pieces[0].encode(errors="replace"),
                )
            )
        yield from (each for each in self._policy.findings(changes) if each.rule != "paths")

    def _paths(self, call: Call) -> Iterator[str]:
        """The files that a call changes."""
        roles = self._tools[call.name]
        arguments = {} if call.plain else arguments_in(call.arguments)
        if roles.meaning in ("patch", "shell"):
            for section in file_patches(call.arguments if call.plain else str(arguments.get(roles.text, ""))):
                yield section.path
                if section.moved_to:
                    yield section.moved_to
        elif isinstance(arguments.get(roles.path), str) and arguments.get("command") != "view":
            yield arguments[roles.path]


def _protected(project: Project, before: KnownFile, after: str) -> Iterator[Finding]:
    lines = before.pieces[0].split("\n")
    for first, last in project.protected(before):
        text = "\n".join(lines[first - 1 : last])
        if f"\n{text}\n" not in f"\n{after}\n":
            message = f"The policy keeps lines {first} to {last} as they are."
            yield Finding(id="protected", rule="protected", path=before.path, line=first, message=message)
