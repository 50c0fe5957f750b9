"""What a failing command says of its failure: which tests, in what words, what was expected and what was seen.

Reads text alone: what a program prints is evidence, never an instruction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_TESTS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^(?:FAILED|ERROR) (\S+?\.py(?:::[^\n\[]*?(?:\[[^\n]*\])?)?)(?: - |$)",  # pytest
        r"^(?:FAIL|ERROR): \w+ \(([\w.]+)\)",  # unittest
        r"^\s*--- FAIL: (\S+)",  # go test, subtests of tables too
        r"^test (\S+) \.\.\. FAILED",  # cargo test
        r"^\s*● ([^\n]+ › [^\n]+)$",  # jest
        r"^ ?FAIL  ([^\n]+ > [^\n]+)$",  # vitest
        r"^\s*not ok \d+ - ([^\n#]+)",  # TAP: node --test
        r"^\[  FAILED  \] ([\w./]+)(?: \(|,|$)",  # googletest
        r"^\[ERROR\]\s+([\w.]+Tests?\.\w+):\d+",  # maven
        r"^\s*([\w$]+Tests? > [^\n]+?) FAILED",  # gradle
        r"^rspec (\S+) #",
        r"^(?:Failure|Error):\n(\S+#\S+)",  # minitest
        r"^\d+\) ([\w\\]+::\w+)",  # PHPUnit
    )
)
_HEADLINES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^E {2,}(\S[^\n]*)",
        r"^((?:\w+\.)*\w*(?:Error|Exception|Warning|Exit|Interrupt|Iteration)(?:: [^\n]+)?)$",
        r"ERROR: (\w+Sanitizer: [^\n]+)",
        r"(runtime error: [^\n]+)",
        r"^((?:panic|fatal error): [^\n]+)",
        r"panicked at [^\n]*?:\d+:\d+:\n([^\n]+)",
        r"panicked at '([^\n]*)', \S+:\d+:\d+",
        r"^(error(?:\[E\d+\])?: [^\n]+)",
        r"[:)] (?:fatal )?(error(?: TS\d+)?: [^\n]+)",
        r'^(?:Exception in thread "[^"]*" |Caused by: )?((?:\w+\.)+\w*(?:Error|Exception|Failure)\w*(?:: [^\n]+)?)$',
        r"\.rb:\d+:in [`'][^']*': ([^\n]+ \(\w[\w:]*\))",
        r"^(?:PHP )?((?:Fatal|Parse) error: +[^\n]+)",
        r"(Assertion [`'\"][^\n]+ failed)",
        r"^\s*((?:Uncaught )?[A-Z]\w*(?:Error|Exception)\b[^\n]*)",
        r"^\s+\S+_test\.go:\d+: ([^\n]+)",
        r"^\S+\.go:\d+:\d+: ([^\n]+)",
        r"^\s+error: ['\"]([^\n]+)['\"]$",
        r"^\s+error: \|-\n\s*(?:Expected values to be[^\n]*\n\s*)?([^\n]+)",
        r"(Segmentation fault|Aborted|Bus error|Killed)",
        r"(Failed asserting that [^\n]+)",
    )
)
_VALUES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^\s*(?:E\s+)?Expected:?\s+(?P<expected>[^\n]+)\n\s*(?:Received|Actual|Got):?\s+(?P<seen>[^\n]+)",
        r"left: (?P<seen>[^\n]+?),?\n\s*right: (?P<expected>[^\n]+)",
        r"expected:? ?<(?P<expected>[^>\n]*)> but was:? ?<(?P<seen>[^>\n]*)>",
        r"^\s+expected: (?P<expected>[^\n]+)\n\s*actual: (?P<seen>[^\n]+)",
        r"expected: (?P<expected>[^\n]+)\n\s*got: (?P<seen>[^\n]+)",
        r"Failed asserting that (?P<seen>[^\n]+?) (?:matches expected|is identical to|is equal to) (?P<expected>[^\n]+?)\.?$",
        r"^E\s+(?:AssertionError: )?assert (?P<seen>[^\n]+?) == (?P<expected>[^\n]+)$",
        r"^AssertionError: (?P<seen>[^\n]+?) != (?P<expected>[^\n]+?)(?: : [^\n]*)?$",
        r"^\s+\S+_test\.go:\d+:[^\n]*?got[ :=]+(?P<seen>[^\n;]+?)[,;]? +(?:want|expected)[ :=]+(?P<expected>[^\n]+)$",
    )
)
_MODES: tuple[tuple[str, str], ...] = (
    (r"UnicodeDecodeError|UnicodeEncodeError|codec can't|mojibake|invalid (?:byte|utf)", "encoding"),
    (r"DID NOT RAISE|not raised|to throw|Expected exception", "no or another exception than expected"),
    (r"NoneType|null pointer|NullPointer|nil pointer|of undefined|null reference|\bof null\b|(?:on|for) nil|unwrap\(\)", "nothing where a value was expected"),
    (r"KeyError|NoSuchElement|key not found", "a key that is not there"),
    (r"IndexError|out of (?:range|bounds)|OutOfBounds|-overflow", "a place beyond the end"),
    (r"ModuleNotFoundError|ImportError|cannot find (?:module|package)|Cannot find module|E0432|no required module", "an import that is not there"),
    (r"NameError|is not defined|undefined: |undeclared|cannot find (?:value|symbol|function)|E0425", "a name that is not known"),
    (r"AttributeError|has no (?:member|field|method)|NoMethodError|is not a function", "an attribute that is not there"),
    (r"SyntaxError|IndentationError|Parse error|unexpected token|expected [`';)]", "code that does not parse"),
    (r"TypeError|mismatched types|cannot use|incompatible types|TS2\d+", "a wrong type or wrong arguments"),
    (r"ZeroDivision|[Dd]ivi(?:de|sion) by zero", "a division by zero"),
    (r"RecursionError|StackOverflow|stack overflow|Maximum call stack", "recursion without end"),
    (r"use-after-free|double-free|heap-use|SEGV|Segmentation|Bus error", "a wrong use of memory"),
    (r"[Aa]ssert|expect|!=|left: |but was|got[ :=]", "a wrong value"),
)  # fmt: skip


class Values(NamedTuple):
    """What a failing assertion compared."""

    seen: str
    expected: str


@dataclass(frozen=True)
class Failure:
    """``headline``: the failure in the program's own words; ``mode``: its kind in ours."""

    mode: str
    headline: str
    tests: tuple[str, ...]
    values: tuple[Values, ...]


def read_failure(output: str, ended_by: str, exit_code: int) -> Failure:
    """What a failed command's output says."""
    said = headline(output)
    if ended_by == "timeout":
        mode = "it does not come to an end"
    elif ended_by in ("memory", "cpu", "processes", "disk", "file size"):
        mode = f"it uses too much ({ended_by})"
    else:
        mode = next((name for pattern, name in _MODES if re.search(pattern, said)), "")
        mode = mode or next((name for pattern, name in _MODES[-1:] if re.search(pattern, output)), "")
    if not said:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        said = lines[-1][:300] if lines else f"exit code {exit_code}, no output"
    return Failure(mode or "it ends with an error", said, tuple(failed_tests(output)), tuple(values(output)))


def failed_tests(output: str) -> list[str]:
    """The failing tests as their runners name them, each once; of a table, its failing rows too."""
    found = [match[1].strip() for pattern in _TESTS for match in pattern.finditer(output)]
    return list(dict.fromkeys(found))[:200]


def headline(output: str) -> str:
    """The line that says what went wrong; empty where none is known as one."""
    for pattern in _HEADLINES:
        match = pattern.search(output)
        if match is not None:
            return match[1].strip()[:300]
    return ""


def values(output: str) -> list[Values]:
    """What failing assertions saw and expected."""
    found = [
        Values(match["seen"].strip()[:120], match["expected"].strip()[:120])
        for pattern in _VALUES
        for match in pattern.finditer(output)
    ]
    return list(dict.fromkeys(found))[:20]
