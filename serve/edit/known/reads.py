"""What a tool's result shows of a file: wrapping and line numbers taken off, cut and shortened lines left out. Knows no tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_NUMBERED = tuple(
    re.compile(rf"[ ]*(\d+){separator}(.*)", re.DOTALL) for separator in ("\t", "\u2192", r"\|[ ]?", ":[ ]", ":")
)
_REMINDER = re.compile(r"\n*<system-reminder>.*?</system-reminder>\s*", re.DOTALL)
_WRAPPED = re.compile(r"<(content|file)>\n?(.*?)\n?</\1>", re.DOTALL)
_FOOTER = re.compile(
    r"\n*\((?:End of file|File has more lines|Showing lines|Output (?:truncated|capped))[^\n]*\)\s*\Z", re.IGNORECASE
)
_END_OF_FILE = re.compile(r"\(End of file", re.IGNORECASE)
_HEADER = re.compile(
    r"\A\s*(?:\[File content truncated: )?showing lines (\d+)\s*(?:-|to)\s*(\d+) of (\d+)[^\n]*\n(?:[^\n]*\n)?\s*-*\n*",
    re.IGNORECASE,
)
_CODEX = re.compile(r"\A(?:[A-Z][\w ]*:[^\n]*\n|Process [^\n]*\n)*?Output:\n", re.DOTALL)
_QWEN_SHELL = re.compile(r"\ACommand: .*?\n(?:Directory: [^\n]*\n)Output: (.*?)\nError: ", re.DOTALL)
_METADATA = re.compile(r"\n*<(?:bash|shell)_metadata>.*", re.DOTALL)
_CUT = re.compile(r"truncated|omitted|\.\.\.$|\[\.\.\.", re.IGNORECASE)
_NOTHING = re.compile(r"\s*(?:[(<\[][^\n]*\bno (?:output|content)[^\n]*[)>\]]\s*)?")
"""What clients show of an output without text."""
_LONG_LINE = 1000
_ERROR = re.compile(
    r"\A\s*(?:<tool_use_error>|error\b|failed\b|traceback\b|file (?:does not|has not)|no (?:such|changes|match)|could not\b"
    r"|cannot\b|old_?string\b|string to replace not found|found \d+ matches|apply_patch verification failed"
    r"|unsupported\b|aborted\b|the user (?:doesn't|rejected|denied)|permission denied|invalid\b|\[operation cancelled)",
    re.IGNORECASE,
)
_EXIT = re.compile(r"(?:Process exited with code|Exit [Cc]ode:?)\s*(-?\d+)")


@dataclass(frozen=True)
class Excerpt:
    """Consecutive lines of a file. ``whole``: all of it; ``first`` None: their place is not known."""

    text: str
    first: int | None
    whole: bool
    exact: bool


def reports_error(result: str) -> bool:
    """Whether a tool's result says that nothing was done."""
    code = _EXIT.search(result[:400])
    if code is not None and int(code[1]) != 0:
        return True
    return _ERROR.match(result) is not None


def excerpts(result: str, first: int = 1, *, all_asked: bool) -> list[Excerpt]:
    """What a read tool shows.

    Args:
        first: the number of the first line asked for, where the result does not say it.
        all_asked: the call asked for the whole file.
    """
    text = _REMINDER.sub("", result)
    wrapped = _WRAPPED.search(text)
    if wrapped is not None:
        text = wrapped[2]
    footer = _FOOTER.search(text)
    ended = footer is None or _END_OF_FILE.search(footer[0]) is not None
    text = text[: footer.start()] if footer is not None else text
    header = _HEADER.match(text)
    if header is not None:
        first, ended, text = int(header[1]), int(header[2]) >= int(header[3]), text[header.end() :]
    numbered = _numbered(text)
    if numbered is None:
        if _NOTHING.fullmatch(text) or wrapped is not None:
            return []
        return _pieces(
            [(first + at, line) for at, line in enumerate(text.split("\n"))], all_asked and ended, exact=True
        )
    lines, rest = numbered
    all_shown = all_asked and ended and lines[0][0] == 1 and not rest.strip()
    return _pieces(lines, all_shown, exact=False)


def printed(result: str, first: int | None, *, numbered: bool, whole: bool) -> list[Excerpt]:
    """What a shell command printed of a file."""
    text = output_of(result)
    if _cut_off(text) or _NOTHING.fullmatch(text):
        return []
    if numbered:
        found = _numbered(text)
        return _pieces(found[0], whole and not found[1].strip(), exact=False) if found is not None else []
    if first is None:
        return [Excerpt(text, None, False, True)] if text.strip() else []
    return _pieces([(first + at, line) for at, line in enumerate(text.split("\n"))], whole, exact=True) if text else []


def output_of(result: str) -> str:
    """The output in what a shell tool answers."""
    if result.startswith("{"):
        try:
            value = json.loads(result)
        except ValueError:
            return result
        if isinstance(value, dict) and isinstance(value.get("output"), str):
            return str(value["output"])
        return result
    quoted = _QWEN_SHELL.match(result)
    if quoted is not None:
        return quoted[1]
    return _METADATA.sub("", _REMINDER.sub("", _CODEX.sub("", result)))


def _cut_off(text: str) -> bool:
    """Whether a shell tool has left something out in the middle."""
    return any(
        _CUT.search(line) is not None and ("tokens" in line or "lines" in line or "characters" in line)
        for line in text.split("\n")
    )


def _numbered(text: str) -> tuple[list[tuple[int, str]], str] | None:
    """Lines with ascending numbers before them, and the text behind; None: they carry none."""
    lines = text.split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    form = next((form for form in _NUMBERED if lines and form.fullmatch(lines[0])), None)
    if form is None:
        return None
    found: list[tuple[int, str]] = []
    for at, line in enumerate(lines):
        match = form.fullmatch(line)
        if match is None or (found and int(match[1]) != found[-1][0] + 1):
            return found, "\n".join(lines[at:])
        found.append((int(match[1]), match[2]))
    return found, ""


def _pieces(lines: list[tuple[int, str]], whole: bool, *, exact: bool) -> list[Excerpt]:
    """Excerpts between the lines that were shortened, which are not known."""
    found: list[Excerpt] = []
    begin = 0
    for at in range(len(lines) + 1):
        if at < len(lines) and not (len(lines[at][1]) > _LONG_LINE and _CUT.search(lines[at][1][-60:])):
            continue
        if at > begin and (at < len(lines) or any(line for _, line in lines[begin:at])):
            text = "\n".join(line for _, line in lines[begin:at])
            all_of_it = whole and begin == 0 and at == len(lines)
            found.append(Excerpt(text, lines[begin][0], all_of_it, exact and at == len(lines)))
        begin = at + 1
    return found
