"""Scans texts in a process of its own: orders as JSON lines on standard input, findings on standard output.

A text that is too much for its parser ends this process, and no other.
"""

from __future__ import annotations

import sys

import msgspec

from dovetail.serve.constrain.syntax.limits import restrain, timed
from dovetail.serve.edit.policy.document import PatternRule
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.govern.findings.scan import Found, prepare, scan_here


class Order(msgspec.Struct):
    """One text to scan. ``rules`` None: those of the order before."""

    language: str
    text: str
    base: str | None
    path: str
    rules: tuple[PatternRule, ...] | None
    blocking: frozenset[str] = frozenset()


class Told(msgspec.Struct):
    """What was found in it."""

    found: tuple[Found, ...]
    complete: bool


def main() -> None:
    """Scan until standard input ends."""
    restrain()
    decoder, rules = msgspec.json.Decoder(Order), RuleSet()
    for line in sys.stdin.buffer:
        order = decoder.decode(line)
        if order.rules is not None:
            rules = RuleSet(order.rules, order.blocking)
            prepare(rules, order.language)
        with timed(len(order.text) + len(order.base or "")):
            scan = scan_here(rules, order.language, order.text, order.base, path=order.path)
        sys.stdout.buffer.write(msgspec.json.encode(Told(scan.found, scan.complete)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
