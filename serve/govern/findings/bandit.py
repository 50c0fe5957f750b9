"""Bandit as a second opinion on Python, in a process of its own with a time limit; an optional package.

Its findings that name the same weakness in the same lines as one of ours are one finding with two tools.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Sequence

import msgspec

from dovetail.serve.govern.findings.scan import MOST_BYTES, Found, Scan, code_key

_SEVERITIES = {"LOW": "low", "MEDIUM": "medium", "HIGH": "high"}
_ALIKE = (
    {"CWE-78", "CWE-77"},
    {"CWE-327", "CWE-328"},
    {"CWE-330", "CWE-338"},
    {"CWE-259", "CWE-798"},
    {"CWE-20", "CWE-502"},
)
"""Weaknesses that Bandit and our rules name differently."""


class Bandit:
    """Runs Bandit, if it is installed.

    Args:
        seconds: how long one text may take; beyond, there is no second opinion, and the scan is not complete.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds

    @property
    def available(self) -> bool:
        """Whether the package is there."""
        return importlib.util.find_spec("bandit") is not None

    async def beside(self, scan: Scan, path: str, text: str, base: str | None = None) -> Scan:
        """``scan`` with what Bandit finds besides, new against ``base``."""
        now = await self._findings(path, text)
        before = await self._findings(path, base) if base and now else []
        if now is None or before is None:
            return Scan(scan.found, complete=False)
        known = Counter((each.id, each.key) for each in before)
        fresh: list[Found] = []
        for each in now:
            if known[each.id, each.key]:
                known[each.id, each.key] -= 1
            else:
                fresh.append(each)
        return Scan(merged(scan.found, fresh), scan.complete)

    async def _findings(self, path: str, text: str) -> list[Found] | None:
        """None: it failed or took too long."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "bandit", "--quiet", "--format", "json", "-"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(self._seconds):
                said, _ = await process.communicate(text.encode("utf-8", "replace")[:MOST_BYTES])
            return read_report(json.loads(said), path, text)
        except (TimeoutError, ValueError, KeyError):
            return None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def read_report(report: dict[str, object], path: str, text: str) -> list[Found]:
    """The findings of Bandit's JSON report."""
    lines = text.split("\n")
    results = report["results"]
    assert isinstance(results, list), "Bandit's report holds a list of results"
    return [
        Found(
            id=f"bandit/{each['test_id']}",
            cwe=f"CWE-{each['issue_cwe']['id']}" if each.get("issue_cwe") else "",
            severity=msgspec.convert(_SEVERITIES.get(each["issue_severity"], "low"), str),
            message=each["issue_text"],
            fix="",
            path=path,
            line=each["line_number"],
            column=each.get("col_offset", 0) + 1,
            end_line=max(each.get("line_range") or [each["line_number"]]),
            key=code_key("\n".join(lines[number - 1] for number in each.get("line_range", ())).encode()),
            tools=("bandit",),
        )
        for each in results
    ]


def merged(own: Sequence[Found], others: Sequence[Found]) -> tuple[Found, ...]:
    """Our findings and the others', those of the same weakness in the same lines as one."""
    result = list(own)
    for other in others:
        for index, each in enumerate(result):
            if each.line <= other.end_line and other.line <= each.end_line and _alike(each.cwe, other.cwe):
                result[index] = msgspec.structs.replace(each, tools=tuple(dict.fromkeys((*each.tools, *other.tools))))
                break
        else:
            result.append(other)
    return tuple(sorted(result, key=lambda each: (each.line, each.column, each.id)))


def _alike(one: str, other: str) -> bool:
    return one == other or any(one in group and other in group for group in _ALIKE)
