"""What a shell command shows of a file, and which files it may change. Reads command lines; runs nothing."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace

_READERS = frozenset(
    {
        "cat",
        "nl",
        "head",
        "tail",
        "sed",
        "grep",
        "rg",
        "ls",
        "find",
        "wc",
        "echo",
        "pwd",
        "cd",
        "diff",
        "git",
        "tree",
        "stat",
        "file",
        "awk",
        "less",
        "more",
        "which",
        "printf",
        "test",
        "true",
        "sort",
        "uniq",
        "cut",
        "pytest",
        "python",
        "python3",
        "node",
        "cargo",
        "go",
        "make",
        "npm",
    }
)
"""Commands that change no given file, unless they redirect or have one of the options below."""

_CHANGES_ALL = re.compile(
    r"\bgit\s+(checkout|restore|reset|stash|pull|merge|rebase|apply|am|cherry-pick|revert|clean|switch)\b"
    r"|\b(black|isort|autopep8|yapf|prettier|gofmt|goimports|rustfmt|clang-format|shfmt)\b"
    r"|\bcargo\s+(fmt|fix)\b|\bgo\s+fmt\b|\bruff\s+format\b|--fix\b|--write\b|\bxargs\b|\bpatch\b"
)
_IN_PLACE = re.compile(r"\b(sed|perl|ruby)\b[^|;&]*\s-[a-zA-Z]*i|>|\btee\b|\bwrite_text\b|\bopen\(")
_LINES = re.compile(r"(\d+)(?:,(\d+|\$))?p;?(?:\d+q)?")


@dataclass(frozen=True)
class Shown:
    """A command that shows lines ``first`` to ``last`` of a file (None: to its end), numbered or not.

    ``first`` None: the last lines, whose numbers are not known.
    """

    path: str
    first: int | None = 1
    last: int | None = None
    numbered: bool = False


def script_of(command: object) -> str:
    """A shell command as one line of script, given as text or as the words of a program call; empty if it is neither."""
    if isinstance(command, str):
        return command
    if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        return command[-1] if len(command) == 3 and command[1] in ("-lc", "-c") else shlex.join(command)
    return ""


def shown_by(script: str) -> tuple[str, Shown] | None:
    """The folder that the script changes to first ("": it stays), and what it then shows; None: nothing of that form."""
    try:
        lexer = shlex.shlex(script, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return None
    folder = ""
    if len(words) > 3 and words[0] == "cd" and words[2] in ("&&", ";"):
        folder, words = words[1], words[3:]
    stages: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            stages.append([])
        elif word and set(word) <= set("|&;<>()"):
            return None
        else:
            stages[-1].append(word)
    shown: Shown | None = None
    for stage in stages:
        shown = _stage(stage, shown)
        if shown is None:
            return None
    return (folder, shown) if shown is not None else None


def may_change(script: str) -> bool | None:
    """Whether the files that a script names may be changed by it; None: any file may."""
    if _CHANGES_ALL.search(script):
        return None
    heads = re.findall(r"(?:^|[|;&\n]|&&)\s*([\w./-]+)", script)
    return bool(_IN_PLACE.search(script)) or any(head.rsplit("/", 1)[-1] not in _READERS for head in heads)


def _stage(words: list[str], before: Shown | None) -> Shown | None:
    """What one command of a pipe shows, of its own file or of what comes ``before`` it."""
    if not words:
        return None
    name, options, operands = words[0], [w for w in words[1:] if w.startswith("-")], []
    operands = [word for word in words[1:] if not word.startswith("-")]
    if name in ("cat", "nl"):
        if before is not None or len(operands) != 1 or any(option not in ("-n", "-ba", "--") for option in options):
            return None
        if name == "nl" and "-ba" not in options:
            return None  # blank lines would carry no number
        return Shown(operands[0], numbered=name == "nl" or "-n" in options)
    if name == "sed" and options == ["-n"] and operands:
        lines = _LINES.fullmatch(operands[0])
        source = _source(operands[1:], before)
        if lines is None or source is None:
            return None
        first, last = int(lines[1]), lines[2]
        return _cut(source, first, None if last == "$" else int(last) if last else first)
    if name in ("head", "tail"):
        return _ends(name, words[1:], before)
    return None


def _ends(name: str, words: list[str], before: Shown | None) -> Shown | None:
    """``head`` and ``tail``, with ``-n 5``, ``-n5``, ``-5`` or ``-n +5``."""
    count, operands, index = "10", [], 0
    while index < len(words):
        word = words[index]
        if word == "-n" and index + 1 < len(words):
            count, index = words[index + 1], index + 1
        elif match := re.fullmatch(r"-n?(\+?\d+)", word):
            count = match[1]
        elif word.startswith("-"):
            return None
        else:
            operands.append(word)
        index += 1
    source = _source(operands, before)
    if source is None or not re.fullmatch(r"\+?\d+", count):
        return None
    if name == "head":
        return _cut(source, 1, int(count)) if "+" not in count else None
    return _cut(source, int(count), None) if "+" in count else replace(source, first=None, last=None)


def _source(operands: list[str], before: Shown | None) -> Shown | None:
    if before is None:
        return Shown(operands[0]) if len(operands) == 1 else None
    return before if not operands else None


def _cut(source: Shown, first: int, last: int | None) -> Shown | None:
    """Lines ``first`` to ``last`` of what ``source`` shows."""
    if source.first is None or first < 1:
        return None
    begin = source.first + first - 1
    ends = [end for end in (source.last, None if last is None else source.first + last - 1) if end is not None]
    return replace(source, first=begin, last=min(ends, default=None))
