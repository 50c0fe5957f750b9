"""Follows a conversation: per path, the text that its messages and tool results have shown. Knows no protocol and no model.

What cannot be read is not guessed: a path is forgotten where something may have changed it, and marked murky where more
of it was shown in a form that is not read here.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dovetail.serve.edit.known.chat_blocks import chat_blocks, lines_replaced
from dovetail.serve.edit.known.patches import file_patches
from dovetail.serve.edit.known.reads import Excerpt, excerpts, printed, reports_error
from dovetail.serve.edit.known.shell import may_change, script_of, shown_by
from dovetail.serve.edit.known.text import KnownText
from dovetail.serve.edit.known.tools import ToolRoles, changes_files, path_parameter, roles_of

_FENCED = re.compile(
    r"^[ ]*[#*`]*(?P<path>[\w./\\@+-]*[./][\w./\\@+-]*)[*`]*:?[ ]*\n"
    r"(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<text>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_TRUSTED = re.compile("true contents of (?:these|the|this) files?", re.IGNORECASE)
"""What aider says of the files in a message: that is all there is of them, as they are now."""
_FOLDER = re.compile(
    r"(?:<cwd>|(?:current |primary )?working directory(?: is)?:?\s*[`\"]?)(?P<folder>/[^\s<`\"]*)", re.IGNORECASE
)
_MODIFIED = re.compile(r"(?:Note: )?(?P<path>/\S+) (?:was|has been) (?:modified|changed|deleted)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call of an earlier turn: JSON arguments, or the plain input of a custom tool (``plain``)."""

    id: str
    name: str
    arguments: str
    plain: bool = False


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A message as far as it matters here. ``answers``: the id of the call whose result ``text`` is."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    calls: tuple[Call, ...] = ()
    answers: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """``texts`` by normal path; relative paths are of ``folder``, if one is known."""

    texts: dict[str, KnownText]
    folder: str = ""

    def find(self, path: str) -> KnownText | None:
        """What is known of ``path`` as a call writes it."""
        return self.texts.get(normal(path, self.folder))


def normal(path: str, folder: str = "") -> str:
    """One spelling of a path; a relative one is taken from ``folder``."""
    return posixpath.normpath(posixpath.join(folder, path.strip())) if path.strip() else ""


def arguments_in(text: str) -> dict[str, Any]:
    """A call's JSON arguments; none where ``text`` is no object, as models sometimes write."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def edits_in(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def lists_in(arguments: Mapping[str, Any]) -> dict[str, set[str]]:
    """The arguments that are lists of objects, and the keys of these."""
    found = {name: edits_in(value) for name, value in arguments.items() if isinstance(value, list)}
    return {name: {key for each in edits for key in each} for name, edits in found.items() if edits}


def known_texts(turns: Iterable[Turn]) -> Known:
    """What ``turns`` have shown, in their order."""
    follower = _Follower()
    for turn in turns:
        follower.turn(turn)
    return Known(texts=follower.texts, folder=follower.folder)


class _Follower:
    def __init__(self) -> None:
        self.texts: dict[str, KnownText] = {}
        self.folder = ""
        self._calls: dict[str, Call] = {}

    def turn(self, turn: Turn) -> None:
        self._calls.update((call.id, call) for call in turn.calls)
        if turn.role == "tool":
            call = self._calls.pop(turn.answers, None)
            if call is not None:
                self._result(call, turn.text)
        elif turn.role == "assistant":
            self._said(turn.text)
        else:
            self._message(turn)
        for match in _MODIFIED.finditer(turn.text) if "odified" in turn.text and turn.role != "assistant" else ():
            self._forget(match["path"])

    def _message(self, turn: Turn) -> None:
        folder = _FOLDER.search(turn.text)
        if folder is not None:
            self.folder = folder["folder"]
        whole = _TRUSTED.search(turn.text) is not None
        for match in _FENCED.finditer(turn.text) if turn.role == "user" else ():
            path, text = self._path(match["path"]), match["text"]
            before = self.texts.get(path)
            if f"{match['fence']}\n" in text:
                self._forget(path)  # Perhaps the end of a file without a last line feed.
            elif whole:
                self.texts[path] = KnownText.of(text)
            elif text and not (before is not None and before.whole):
                self.texts[path] = (before or KnownText()).also(text)

    def _said(self, text: str) -> None:
        """Blocks in an answer: nobody says whether they have been applied, so the file may be what it was or what they make."""
        for path, old, new in chat_blocks(text):
            name = self._path(path)
            before = self.texts.get(name)
            if before is None and old:
                continue
            known = before if before is not None else KnownText()
            after = [lines_replaced(piece, old, new) for piece in known.pieces or ("",)]
            if all(piece in known.pieces for piece in after):
                continue
            known = replace(known, whole=False)
            for piece in after:
                known = known.also(piece)
            self.texts[name] = known

    def _result(self, call: Call, result: str) -> None:
        arguments = {} if call.plain else arguments_in(call.arguments)
        roles = roles_of(call.name, ("input",) if call.plain else arguments, lists_in(arguments))
        if roles is not None and roles.meaning == "patch":
            if not reports_error(result):
                self._patch(call.arguments if call.plain else str(arguments.get(roles.text, "")))
        elif roles is not None and roles.meaning == "shell":
            self._shell(script_of(arguments.get(roles.text)), arguments, result)
        elif roles is not None:
            self._file_tool(roles, arguments, result)
        else:
            path = arguments.get(path_parameter(arguments))
            if changes_files(call.name) and isinstance(path, str):
                self._forget(path)
            self._mentioned(call.arguments, result)

    def _file_tool(self, roles: ToolRoles, arguments: dict[str, Any], result: str) -> None:
        path = arguments.get(roles.path)
        if not isinstance(path, str) or reports_error(result):
            return
        if roles.edits:
            for edit in edits_in(arguments.get(roles.edits)):
                old, new = edit.get(roles.old), edit.get(roles.new)
                self._replaced(self._path(path), str(old), str(new or ""), everywhere=bool(edit.get(roles.everywhere)))
            return
        meaning, old, new = roles.meaning, arguments.get(roles.old), arguments.get(roles.new)
        if meaning == "editor":
            command = arguments.get("command")
            meanings: dict[Any, Any] = {"view": "read", "create": "write", "str_replace": "replace"}
            meaning = meanings.get(command, "editor")
        if meaning == "read":
            self._read(self._path(path), roles, arguments, result)
        elif meaning == "write" and isinstance(arguments.get(roles.text), str):
            self.texts[self._path(path)] = KnownText.of(arguments[roles.text])
        elif meaning == "replace" and isinstance(old, str):
            self._replaced(self._path(path), old, str(new or ""), everywhere=bool(arguments.get(roles.everywhere)))
        else:
            self._forget(path)

    def _read(self, path: str, roles: ToolRoles, arguments: dict[str, Any], result: str) -> None:
        first, asked = arguments.get(roles.first), arguments.get(roles.count)
        view = arguments.get("view_range")
        if isinstance(view, list) and view and isinstance(view[0], int):
            first, asked = view[0], view[-1]
        begin = (first if isinstance(first, int) else 0) + int(roles.zero_based and isinstance(first, int))
        shown = excerpts(result, max(1, begin), all_asked=begin <= 1 and asked is None)
        self._show(path, shown)
        if not shown:
            self._murky(path)

    def _show(self, path: str, shown: Sequence[Excerpt]) -> None:
        for excerpt in shown:
            before = self.texts.get(path, KnownText())
            if excerpt.whole:
                self.texts[path] = replace(KnownText().shown(1, excerpt.text, exact=excerpt.exact), whole=True)
            elif excerpt.first is None:
                self.texts[path] = before.also(excerpt.text)
            elif not before.whole or excerpt.text not in before.pieces[0]:
                after = replace(before, whole=False) if not before.whole else KnownText()
                self.texts[path] = after.shown(excerpt.first, excerpt.text, exact=False)

    def _replaced(self, path: str, old: str, new: str, *, everywhere: bool) -> None:
        before = self.texts.get(path)
        if not old:
            self.texts[path] = KnownText.of(new)
            return
        after = before.replaced(old, new, everywhere=everywhere) if before is not None else None
        if after is None:
            self.texts.pop(path, None)
        else:
            self.texts[path] = after

    def _patch(self, text: str) -> None:
        for section in file_patches(text):
            path = self._path(section.path)
            if section.deleted:
                self.texts.pop(path, None)
            elif section.added is not None:
                self.texts[path] = KnownText.of(section.added)
            for old, new in section.hunks:
                self._replaced(path, old, new, everywhere=False) if old else self.texts.pop(path, None)
            if section.moved_to and path in self.texts:
                self.texts[self._path(section.moved_to)] = self.texts.pop(path)

    def _shell(self, script: str, arguments: dict[str, Any], result: str) -> None:
        if "*** Begin Patch" in script:
            if not reports_error(result):
                self._patch(script)
            return
        found = shown_by(script)
        if found is not None:
            folder = next((arguments[key] for key in ("workdir", "cwd") if isinstance(arguments.get(key), str)), "")
            path = normal(posixpath.join(folder, found[0], found[1].path), self.folder)
            shown = found[1]
            whole = shown.first == 1 and shown.last is None
            lines = [] if reports_error(result) else printed(result, shown.first, numbered=shown.numbered, whole=whole)
            self._show(path, lines)
            return
        changes = may_change(script)
        if changes is None:
            self.texts.clear()
        elif changes:
            for path in [path for path in self.texts if posixpath.basename(path) in script]:
                del self.texts[path]
        self._mentioned(script, result)

    def _mentioned(self, *texts: str) -> None:
        for path in self.texts:
            if any(posixpath.basename(path) in text for text in texts):
                self._murky(path)

    def _murky(self, path: str) -> None:
        if path in self.texts and not self.texts[path].whole:
            self.texts[path] = replace(self.texts[path], murky=True)

    def _forget(self, path: str) -> None:
        self.texts.pop(self._path(path), None)

    def _path(self, path: str) -> str:
        return normal(path, self.folder)
