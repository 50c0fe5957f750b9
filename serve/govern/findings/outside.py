"""Scans of longer texts by one worker process, which is started when first needed and again after a text was too much for it."""

from __future__ import annotations

import atexit
import subprocess
import sys
import threading

import msgspec

from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.govern.findings.scan import Scan, rules_of, scan_here
from dovetail.serve.govern.findings.worker import Order, Told

HERE_BYTES = 1_024
"""Texts up to this are scanned in this process: none of them takes its parser long."""


class Outside:
    """One worker; a scan waits for the one before. ``scan`` may be called in any thread, and blocks it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._rules: RuleSet | None = None
        self._languages: set[str] = set()
        atexit.register(self.close)

    def scan(self, rules: RuleSet, language: str, text: str, base: str | None = None, *, path: str = "") -> Scan:
        """As scan_here; not complete where the text is too much for its parser."""
        if not rules_of(rules, language):
            return Scan()
        if len(text) + len(base or "") <= HERE_BYTES:
            return scan_here(rules, language, text, base, path=path)
        with self._lock:
            told = self._asked(rules, language, text, base, path)
        return Scan(told.found, told.complete) if told is not None else Scan(complete=False)

    def _asked(self, rules: RuleSet, language: str, text: str, base: str | None, path: str) -> Told | None:
        process = self._running()
        known = self._rules == rules and language in self._languages
        self._languages = {*self._languages, language} if self._rules == rules else {language}
        self._rules = rules
        order = Order(language, text, base, path, None if known else rules.rules, rules.blocking)
        assert process.stdin is not None and process.stdout is not None, "opened as pipes"
        try:
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = b""
        if not answer:
            self.close()
            return None
        return msgspec.json.decode(answer, type=Told)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-m", "dovetail.serve.govern.findings.worker"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def close(self) -> None:
        """End the worker; the next scan starts another."""
        process, self._process, self._rules, self._languages = self._process, None, None, set()
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None and not pipe.closed:
                    try:
                        pipe.close()
                    except OSError:
                        continue


WORKER = Outside()
"""The worker of this process."""


def scan_code(rules: RuleSet, language: str, text: str, base: str | None = None, *, path: str = "") -> Scan:
    """The findings in a text of a language that ``base`` has not, or fewer of."""
    return WORKER.scan(rules, language, text, base, path=path)


def scan_file(rules: RuleSet, path: str, text: str, base: str | None = None) -> Scan:
    """The findings in a file, its language judged by its path."""
    languages = languages_of(path)
    return scan_code(rules, languages[0], text, base, path=path) if languages else Scan()
