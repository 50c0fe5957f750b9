"""Finds insecure code in an answer while it is written: the fenced blocks of a text, line by line. Knows no protocol.

Where findings end an answer, a line of code is told only when it completes none. Where they are only reported, a block is
scanned when it ends.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import msgspec
from tree_sitter import Node, Point, Tree

from dovetail.serve.constrain.syntax.languages import LANGUAGES, languages_of
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.govern.findings.outside import HERE_BYTES, scan_code
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.govern.findings.scan import Found, Scan, is_prepared, rules_of, scan_tree

HELD_BYTES = 65_536
"""Of one block: beyond, lines are no longer judged one by one, and the block is scanned when it ends."""
_LINE_BYTES = 1_000
_PARSE_SECONDS = 0.1
"""A longer line, or one that took the parser longer, has the same effect: no text may hold up others."""

_OPENS = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_MARKS = ("```", "~~~")
_ALIASES = {
    "py": "python",
    "python3": "python",
    "js": "javascript",
    "jsx": "javascript",
    "mjs": "javascript",
    "node": "javascript",
    "ts": "typescript",
    "golang": "go",
    "h": "c",
    "c++": "cpp",
    "cc": "cpp",
    "cxx": "cpp",
    "hpp": "cpp",
}

Known = Callable[[str], bool]
"""Whether the conversation holds this code already, so that an answer may say it again."""


def language_of_fence(info: str) -> str | None:
    """The language that a fence names, by name, alias or path; None: none that is known."""
    words = re.split(r"[\s,{}:=]+", info.strip())
    for word in words:
        name = word.strip("\"'.").lower()
        name = _ALIASES.get(name, name)
        if name in LANGUAGES:
            return name
        if "." in word and languages_of(word.strip("\"'")):
            return languages_of(word.strip("\"'"))[0]
    return None


class AnswerScan:
    """One answer's text.

    Args:
        rules: what is looked for.
        known: code that may be said again.
        language: the text is code of this language from its first character; None: fences say where code is.
    """

    def __init__(self, rules: RuleSet, known: Known, language: str | None = None) -> None:
        self._rules = rules
        self._known = known
        self._holds = bool(rules.blocking)
        self._whole = language is not None
        self._language = language
        self._fence: str | None = "" if self._whole else None
        self._line = ""
        self._lines = 0
        self._code: list[str] = []
        self._size = 0
        self._first = 1
        self._growing = Growing(rules, language) if language is not None and self._holds else None
        self.found: list[Found] = []
        self.complete = True

    @property
    def blocked(self) -> bool:
        """Whether the answer has to end here."""
        return bool(self.found) and any(each.action == "block" for each in self.found)

    def may_wait(self, text: str | None) -> bool:
        """Whether ``feed`` with this text, or ``finish`` for None, may take long, so that it belongs in a thread."""
        if text is not None and "\n" not in text:
            return False
        waiting = self._line + (text or "")
        if self._fence is None:
            # One line end may open a block; only more of them can bring code and its end as well.
            return waiting.count("\n") > 1 and any(mark in waiting for mark in _MARKS)
        if self._size + len(waiting) <= HERE_BYTES and (
            self._language is None or is_prepared(self._rules, self._language)
        ):
            return False
        return self._holds or text is None or (not self._whole and self._fence[0] in waiting)

    def feed(self, text: str) -> str:
        """What of the answer may be told now."""
        if "\n" not in text:
            self._line += text
            return "" if self._holds and self._fence is not None else text
        told: list[str] = []
        for part in text.splitlines(keepends=True) if text.count("\r") == 0 else re.findall(r"[^\n]*\n|[^\n]+", text):
            held = self._holds and self._fence is not None
            self._line += part
            if not part.endswith("\n"):
                told += [] if held else [part]
                continue
            line, self._line = self._line, ""
            self._take(line)
            if self.blocked:
                break
            told.append(line if held else part)
        return "".join(told)

    def finish(self) -> str:
        """The rest, when the answer has ended."""
        rest, self._line = self._line, ""
        held = self._holds and self._fence is not None
        if rest:
            self._take(rest)
        if self._fence is not None and not self.blocked:
            self._close()
        return rest if held and not self.blocked else ""

    def _take(self, line: str) -> None:
        self._lines += 1
        if self._fence is None:
            opened = _OPENS.match(line.rstrip("\r\n"))
            if opened is not None:
                self._fence, self._language = opened[1], language_of_fence(opened[2])
                self._code, self._size, self._first = [], 0, self._lines + 1
                self._growing = Growing(self._rules, self._language) if self._holds and self._language else None
        elif not self._whole and _closes(self._fence, line):
            self._close()
        else:
            self._code.append(line)
            self._size += len(line)
            if self._growing is not None:
                self._add(self._growing.add(line))

    def _close(self) -> None:
        code, self._fence, self._growing = "".join(self._code), None, None
        if self._language is not None and code:
            self._add(scan_code(self._rules, self._language, code))

    def _add(self, scan: Scan) -> None:
        self.complete = self.complete and scan.complete
        for each in scan.found:
            if not self._known(each.key):
                line, last = each.line + self._first - 1, each.end_line + self._first - 1
                moved = msgspec.structs.replace(each, line=line, end_line=last)
                if moved not in self.found:
                    self.found.append(moved)


def _closes(fence: str, line: str) -> bool:
    text = line.strip()
    return len(text) >= len(fence) and set(text) == {fence[0]}


class Growing:
    """Code that gets longer line by line, parsed on from where it was."""

    def __init__(self, rules: RuleSet, language: str) -> None:
        self._rules = rules
        self._language = language
        self._text = b""
        self._row = 0
        self._tree: Tree | None = None
        self._given_up = not rules_of(rules, language)

    def add(self, line: str) -> Scan:
        """What is certain to be found in the code with this line, and touches it."""
        start, row = len(self._text), self._row
        self._text += line.encode("utf-8", "replace")
        self._row += 1
        if self._given_up or len(line) > _LINE_BYTES or len(self._text) > HELD_BYTES:
            self._given_up = True
            return Scan()
        began = time.process_time()
        if self._tree is not None:
            old, new = Point(row, 0), Point(self._row, 0)
            self._tree.edit(start, start, len(self._text), old, old, new)
        self._tree = parse(self._language, self._text, self._tree)
        self._given_up = time.process_time() - began > _PARSE_SECONDS
        span = (max(0, start - 1), len(self._text))
        return scan_tree(self._rules, self._language, self._tree, span, settled=_settled)


def _settled(node: Node) -> bool:
    """Whether the statement that holds the node parses, so that it is what it seems to be."""
    while node.parent is not None and node.parent.parent is not None:
        node = node.parent
    return not node.has_error
