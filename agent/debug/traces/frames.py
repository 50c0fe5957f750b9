"""Places in the code that compilers, runtimes and test runners print, innermost first. Knows no repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Frame(NamedTuple):
    """A place as it was printed. ``function`` is empty where nothing was said of it."""

    path: str
    line: int
    function: str = ""


_PATH = r"(?P<path>[^\s:()'\"\[\]<>|]+\.\w{1,5})"
_PYTHON = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_PYTEST = re.compile(r"^(?P<path>[^\s:()'\"]+\.py):(?P<line>\d+):(?: in (?P<function>\S+)| \w+)?$")
_NODE = re.compile(
    r"^\s*(?:❯\s+|at )(?:async )?(?:(?P<function>[\w.$<>\[\] ]+?) \(?)?(?:file://)?"
    r"(?P<path>/?[^\s():]+\.[cm]?[jt]sx?):(?P<line>\d+):\d+\)?$"
)
_TAP = re.compile(
    r"^\s+(?:(?:async )?(?P<function>[\w.$<>]+) \(|location: ')(?P<path>/?[^\s():']+\.[cm]?[jt]sx?):(?P<line>\d+):\d+[)']$"
)
_JAVA = re.compile(
    r"^\s*at (?:[\w.@\-]+/)*(?P<owner>[\w.$<>]+)\.(?P<function>[\w$<>]+)\((?P<path>\w+\.\w+):(?P<line>\d+)\)"
)
_MAVEN = re.compile(r"^\[(?:ERROR|WARNING)\] (?P<path>\S+\.\w+):\[(?P<line>\d+),\d+\]")
_CSHARP = re.compile(r"^\s*at (?P<function>[\w.`<>\[\], ()]+?) in (?P<path>.+?):line (?P<line>\d+)")
_SANITIZER = re.compile(r"^\s*#\d+ 0x[0-9a-f]+ in (?P<function>[^\s(]+).*? (?P<path>/?[^\s:()]+\.\w+):(?P<line>\d+)")
_GDB = re.compile(r"^#\d+\s+(?:0x[0-9a-f]+ in )?(?P<function>[\w:~]+) ?\(.*?\) at (?P<path>\S+?):(?P<line>\d+)$")
_PHP = re.compile(r"^#\d+ (?P<path>\S+\.php)\((?P<line>\d+)\): (?P<function>[\w\\:>\-]+)\(")
_PHP_HEAD = re.compile(r" in (?P<path>\S+\.php)(?::| on line )(?P<line>\d+)")
_RUBY = re.compile(rf"^\s*(?:from |# |\d+: from )?{_PATH}:(?P<line>\d+):in [`'](?:block .*in )?(?P<function>[^']+)'")
_RUBY_AT = re.compile(r"(?:\[|^\s*# )(?P<path>[^\s\[\]:]+\.rb):(?P<line>\d+)(?:\]|$)")
_RUST = re.compile(r"panicked at (?:'.*', )?(?P<path>[^\s:']+\.rs):(?P<line>\d+):\d+")
_RUST_AT = re.compile(r"^\s*(?:-->|at) (?P<path>[^\s:]+\.rs):(?P<line>\d+):\d+$")
_GO = re.compile(r"^\s+(?P<path>[^\s:]+\.go):(?P<line>\d+)(?: \+0x[0-9a-f]+|: .*)?$")
_ASSERT = re.compile(rf"^[^:\s]+: {_PATH}:(?P<line>\d+): (?P<function>[^:]+(?:\(.*\))?): Assertion")
_TSC = re.compile(r"^(?P<path>[^\s:()]+\.\w+)\((?P<line>\d+),\d+\): (?:error|warning)")
_PLAIN = re.compile(rf"^\s*{_PATH}:(?P<line>\d+)(?::\d+)?(?::|$)")

_PATTERNS = (
    _TAP,
    _PYTHON, _PYTEST, _NODE, _JAVA, _MAVEN, _CSHARP, _SANITIZER, _GDB, _PHP, _RUBY, _RUBY_AT, _RUST, _RUST_AT, _GO,
    _ASSERT, _TSC, _PHP_HEAD, _PLAIN,
)  # fmt: skip
_OUTER_FIRST = {_PYTHON, _PYTEST}
_GO_FUNCTION = re.compile(r"^(?:[\w./\-]+/)?[\w\-]+\.(?P<function>(?:\(\*?\w+\)\.)?\w+)(?:\[\.\.\.\])?\(.*\)$")
_RUST_FUNCTION = re.compile(r"^\s*\d+:\s+(?:0x[0-9a-f]+ - )?(?P<function>[\w:<>{}#]+)$")
_MOST = 400
_LONGEST = 2000


def read_frames(output: str) -> list[Frame]:
    """Every place, innermost first within each traceback, tracebacks in their order; each place once."""
    found: list[Frame] = []
    block: list[Frame] = []
    for frame, outer_first, fresh in _read(output):
        if block and (not outer_first or fresh):
            found += reversed(block)
            block = []
        if outer_first:
            block.append(frame)
        else:
            found.append(frame)
    found += reversed(block)
    return list(dict.fromkeys(found))[:_MOST]


def _read(output: str) -> Iterator[tuple[Frame, bool, bool]]:
    """Each frame, whether its traceback has the outermost first, and whether a traceback begins with it."""
    fresh, above = False, ""
    for line in output.splitlines():
        if len(line) > _LONGEST:
            continue
        fresh = fresh or line.startswith(("Traceback (most recent", "____", "====", "During handling"))
        for pattern in _PATTERNS:
            match = pattern.search(line)
            if match is not None:
                yield _frame(pattern, match, above), pattern in _OUTER_FIRST, fresh
                fresh = False
                break
        above = line


def _frame(pattern: re.Pattern[str], match: re.Match[str], above: str) -> Frame:
    parts = match.groupdict()
    function = parts.get("function") or ""
    path = parts["path"]
    if pattern is _JAVA:
        folder = parts["owner"].rpartition(".")[0].replace(".", "/")
        path = f"{folder}/{path}" if folder else path
    named = {_GO: _GO_FUNCTION, _RUST_AT: _RUST_FUNCTION}.get(pattern)
    if named is not None and (before := named.match(above.strip())):
        function = re.split(r"::|\.", before["function"])[-1]
    return Frame(path, int(parts["line"]), _bare(function))


def _bare(function: str) -> str:
    """The name alone: no class, no arguments, no brackets."""
    name = re.split(r"\(|<", function.strip())[0]
    return re.split(r"[.#:\\ ]|->", name)[-1] if name else ""
