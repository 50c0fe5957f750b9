"""Calls of a string-replacing edit tool as zones: one JSON object per line, its keys in a fixed order.

{"file_path": "a.py", "old_string": "...", "new_string": "..."}
{"file_path": "a.py", "insert_line": 3, "new_string": "..."}             behind line 3; 0: before the first
{"command": "create", "file_path": "b.py", "content": "..."}
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial

from dovetail.serve.constrain.copy.escaped import escaped
from dovetail.serve.constrain.copy.prepared import PreparedFile
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.block import BYTE_ORDER_MARK
from dovetail.serve.edit.formats.str_replace.quoting import StringQuoting
from dovetail.serve.edit.formats.str_replace.string import StringReplacing
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.plan import Plan, Target
from dovetail.serve.edit.zones.choice import Choice, OneOf
from dovetail.serve.edit.zones.new_path import NewPath
from dovetail.serve.edit.zones.open_edit import OpenEdit
from dovetail.serve.edit.zones.zone import Step, Zone
from dovetail.serve.types import EditSpec


def str_replace_plan(spec: EditSpec, vocabulary: Vocabulary) -> Plan:
    """The plan of an output in tool calls.

    Raises:
        UserError: what Plan refuses.
    """
    plan = Plan(spec, vocabulary, _between)
    plan.closing_line = b'"}\n'
    plan.permits = _permits
    return plan


def _between(ledger: Ledger, begin: int) -> Zone:
    choices: list[Choice] = []
    for target in () if ledger.exhausted else range(len(ledger.plan.targets)):
        head = b'{"file_path": "' + escaped(ledger.targets[target].path).encode() + b'", "'
        likely = target == (ledger.last if ledger.last is not None else 0)
        if ledger.targets[target].prepared.raw and _quotes(ledger, target):
            quoting = partial(StringQuoting.begun, ledger, begin, target)
            choices.append(Choice(head + b'old_string": "', quoting, likely=likely))
        if next(LineNumber.places(ledger, target), None) is not None:
            number = partial(LineNumber.begun, ledger, begin, target)
            choices.append(Choice(head + b'insert_line": ', number))
    if ledger.creates:

        def new(path: str) -> Zone:
            after, target = ledger.create(path)
            block = OpenEdit(after, begin, target, Quote(0, 0), in_json=True)
            return OneOf(after, begin, [Choice(b', "content": "', partial(StringReplacing.begun, block))])

        choices.append(Choice(b'{"command": "create", "file_path": "', lambda: NewPath(ledger, begin, b'"', new)))
    return OneOf(ledger, begin, choices, ends=ledger.sound)


def _quotes(ledger: Ledger, target: int) -> bool:
    return ledger.offers(target) and ledger.region(target, ledger.targets[target].escaped).offers


def _permits(target: Target, quote: tuple[int, int], replacement: bytes) -> bool:
    """Lines are inserted, or something is replaced."""
    inserted = quote[0] == quote[1] and bool(target.prepared.raw)
    return bool(replacement) or not inserted


def _places(prepared: PreparedFile) -> list[int]:
    """Where lines can be inserted: before the first, behind its byte order mark if that is read with it, and behind each."""
    mark = BYTE_ORDER_MARK.encode()
    return [len(mark) if prepared.raw.startswith(mark) else 0, *prepared.ends]


class LineNumber(Zone):
    """Behind ``insert_line``: the number of a line, of the ascending ``lines``, and the comma."""

    __slots__ = ("digits", "lines", "target")

    def __init__(self, ledger: Ledger, begin: int, target: int, lines: Sequence[int], digits: str) -> None:
        super().__init__(ledger, begin)
        self.target = target
        self.lines = lines
        self.digits = digits

    @classmethod
    def begun(cls, ledger: Ledger, begin: int, target: int) -> LineNumber:
        """Before the first digit."""
        return cls(ledger, begin, target, list(cls.places(ledger, target)), "")

    @staticmethod
    def places(ledger: Ledger, target: int) -> Iterator[int]:
        """The lines behind which something may be inserted: not an unterminated last one."""
        prepared = ledger.targets[target].prepared
        places = _places(prepared)
        if prepared.raw and not prepared.raw.endswith(b"\n"):
            places.pop()
        return (line for line, place in enumerate(places) if ledger.free_for_insertion(target, place))

    def feed(self, data: bytes, step: Step) -> Zone | None:
        text = data.decode("latin-1")
        end = len(text) - len(text.lstrip("0123456789"))
        digits, rest = self.digits + text[:end], data[end:]
        if not rest:
            begins = digits and self._begins(digits)
            return LineNumber(self.ledger, self.begin, self.target, self.lines, digits) if begins else None
        if rest[:1] != b"," or not digits or str(int(digits)) != digits or not self._holds(int(digits)):
            return None
        place = _places(self.ledger.targets[self.target].prepared)[int(digits)]
        block = OpenEdit(self.ledger, self.begin, self.target, Quote(place, place), in_json=True)
        choice = Choice(b', "new_string": "', partial(StringReplacing.begun, block))
        return OneOf(self.ledger, self.begin, [choice]).feed(rest, step)

    def _holds(self, line: int) -> bool:
        index = bisect_left(self.lines, line)
        return index < len(self.lines) and self.lines[index] == line

    def _begins(self, digits: str) -> bool:
        if digits[0] == "0":
            return digits == "0" and self._holds(0)
        first, last = int(digits), int(digits) + 1
        while first <= self.lines[-1]:
            if bisect_left(self.lines, first) < bisect_left(self.lines, last):
                return True
            first, last = first * 10, last * 10
        return False

    def branches(self) -> Sequence[bytes] | None:
        digits = [b"%d" % digit for digit in range(10) if self._begins(self.digits + str(digit))]
        return [*digits, b', "new_string": "'] if self.digits and self._holds(int(self.digits)) else digits
