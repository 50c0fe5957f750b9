"""What one request's constraint is made of: the files prepared, the literals as bytes, the syntax gates, the rules.

Immutable but for caches, shared by all states of the request. Knows no format; it is given one as a function.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from dovetail.serve.constrain.copy.escaped import EscapedFile
from dovetail.serve.constrain.copy.prepared import PreparedFile
from dovetail.serve.constrain.copy.quotation import Quotable
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.checkpoints import Checkpoints
from dovetail.serve.constrain.syntax.gate import Verdict
from dovetail.serve.constrain.syntax.gates import LOCAL_GATES, Answer, Gate, Gates
from dovetail.serve.constrain.syntax.recogniser import recogniser
from dovetail.serve.constrain.syntax.tables import TableError
from dovetail.serve.constrain.utf8 import controls_for
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.policy.combine import policy_of
from dovetail.serve.edit.policy.review import Subject, reviewed
from dovetail.serve.edit.policy_watch import opening
from dovetail.serve.edit.protected import protected_spans
from dovetail.serve.edit.view import View
from dovetail.serve.errors import UserError
from dovetail.serve.types import EditSpec, Finding, SourceFile

if TYPE_CHECKING:
    from dovetail.serve.edit.ledger import Ledger
    from dovetail.serve.edit.watch import Opening
    from dovetail.serve.edit.zones.zone import Zone

_LONG_LINE = 1024
Span = tuple[int, int]


class Target:
    """One file that may be edited, as the model reads it. ``protected``: byte ranges of its prepared text that no edit may
    touch."""

    def __init__(
        self, view: View, vocabulary: Vocabulary, protected: tuple[Span, ...] = (), gates: Gates = LOCAL_GATES
    ) -> None:
        self.path = view.given.path
        self.view = view
        self.gates = gates
        self.protected = protected
        self._vocabulary = vocabulary
        raw = view.file.content.encode()
        self._digest = hashlib.sha256(raw).digest()
        self.prepared = vocabulary.derived(("prepared", self._digest), lambda: PreparedFile(raw), len(raw))

    def quotable(self, delimiter: bytes = b"\n") -> Quotable:
        """The file's lines as they are; ``delimiter`` ends a quotation, where the format has one."""
        key = ("quotable", self._digest, delimiter)
        return self._vocabulary.derived(
            key, lambda: Quotable(self.prepared, delimiter, self._vocabulary), len(self.prepared.raw)
        )

    @cached_property
    def escaped(self) -> Quotable:
        """The file's lines as they stand in a JSON string."""
        raw = self.prepared.raw
        return self._vocabulary.derived(
            ("escaped", self._digest), lambda: Quotable(EscapedFile(raw), b'"', self._vocabulary), len(raw)
        )

    @cached_property
    def gate(self) -> Gate:
        """The syntax gate of the file as it is."""
        raw = self.prepared.raw if self.view.same else self.view.given.content.encode()
        key = ("gate", self.gates, self.path, self._digest if self.view.same else hashlib.sha256(raw).digest())
        return self._vocabulary.derived(key, lambda: self.gates.open(self.path, raw), len(raw))

    @cached_property
    def _gate_as_read(self) -> Gate:
        """The syntax gate of the file as the model reads it."""
        raw = self.prepared.raw
        key = ("gate", self.gates, self.path, self._digest)
        return self._vocabulary.derived(key, lambda: self.gates.open(self.path, raw), len(raw))

    @property
    def needed(self) -> tuple[Gate, ...]:
        """What has to have been read before the recogniser can say anything."""
        return (self.gate,) if self.view.same else (self.gate, self._gate_as_read)

    def restored(self, change: Change) -> Change:
        """A change of whole lines of the file as the model reads it, as a change of the file as it is."""
        if self.view.same:
            return change
        bounds, starts = [0, *self.prepared.ends], self.view.byte_starts
        first, last = bisect_left(bounds, change.start), bisect_left(bounds, change.end)
        text = self.view.restored(first, last, change.replacement.decode())
        return Change(starts[first], starts[last], text.encode())

    @cached_property
    def checkpoints(self) -> Checkpoints | None:
        """Where the syntax recogniser stands at each line, as the model reads the file; None of a file with errors, or in no
        language it knows."""
        language = self.gate.language
        if language is None or self.gate.faulty:
            return None
        raw = self.prepared.raw

        def build() -> Checkpoints | None:
            if not self.view.same and self._gate_as_read.faulty:
                return None  # Its line ends mean something to the grammar.
            try:
                return Checkpoints(recogniser(language), raw, valid=True)
            except TableError:
                return None

        return self._vocabulary.derived(("checkpoints", language, self._digest), build, 4 * len(raw))

    def prepare(self) -> None:
        """Have the file parsed and its checkpoints found beside everything else."""

        def warm() -> None:
            if self.checkpoints is not None:
                self.checkpoints.warm()

        self.needed[-1].prepare(warm)

    @cached_property
    def controls(self) -> re.Pattern[bytes]:
        """Finds the control characters that a replacement in this file may not hold."""
        return controls_for(self.prepared.raw)

    @cached_property
    def usual_controls(self) -> bool:
        """Whether the file holds no control character beyond the usual three."""
        return self.controls is controls_for(b"")


class Plan:
    """The specification, compiled.

    Args:
        between: the format: the zone between two edits, from what the output has done and the tokens that stand.

    Raises:
        UserError: no files, a path given twice or not one line, protected lines of no file, text that is not Unicode, or a
            policy that cannot be used.
    """

    refusal_limit = 3
    """Refused terminators after which a block must go back to where it could have ended."""
    patient_limit = 12
    """The same where the recogniser vouches that what was written can still become a whole file."""
    retreat_limit = 8
    """Times an output may go back before it may only end."""

    broken_limit = 2
    """New texts that are too much for a parser, each of which costs a process, after which a gate says no unasked."""

    doubt_limit = 2
    """Times an output may go back because the model hardly wanted to begin an edit where it had to."""

    divider = b""
    """What ends a quotation and begins its replacement, in a format that has such a line."""
    closing_run = b""
    """The bytes at a line's start that mean the end of a replacement written as plain lines."""
    closing_line = b""
    """What ends a replacement."""
    in_order = False
    """Whether edits of one file come in the file's order."""
    final_line_feed = False
    """Whether an edited file gets the final line feed that it lacks."""
    permits: Callable[[Target, tuple[int, int], bytes], bool] | None = None
    """What the format asks of a replacement beyond syntax."""
    openings: tuple[Opening, ...]
    """What watches new text beside the syntax recogniser."""

    gates: Gates = LOCAL_GATES
    """Who is asked about syntax."""

    def __init__(self, spec: EditSpec, vocabulary: Vocabulary, between: Callable[[Ledger, int], Zone]) -> None:
        if not spec.files:
            raise UserError("An edit needs at least one file.", param="files")
        self.spec = spec
        self.vocabulary = vocabulary
        self.between = between
        self.syntax = spec.syntax
        self.operations = frozenset(spec.operations)
        self.policy = policy_of(spec.policy) if spec.policy else None
        self.vetoes: dict[tuple[str, str], Finding] = {}
        """What the policy kept the model from, by rule and path."""
        self.openings = (opening,) if self.policy is not None else ()
        protected = (*spec.protected, *(self.policy.protected_lines(spec.files) if self.policy else ()))
        seen: set[str] = set()
        targets = []
        for index, file in enumerate(spec.files):
            param = f"files[{index}]"
            if file.path in seen or not file.path or re.search(r"[\x00-\x1f\x7f]", file.path):
                raise UserError(f"{file.path!r}: a path must be one line, and given once.", param=f"{param}.path")
            seen.add(file.path)
            try:
                file.path.encode()
                file.content.encode()
            except UnicodeEncodeError as error:
                raise UserError(f"{file.path!r}: not valid Unicode text.", param=f"{param}.content") from error
            view = View(file, spec.line_ends)
            targets.append(Target(view, vocabulary, protected_spans(view.file, protected)))
        for index, (path, _, _) in enumerate(spec.protected):
            if path not in seen:
                raise UserError(f"{path!r} is none of the given files.", param=f"protected[{index}]")
        self.targets = tuple(targets)
        self._judged: dict[tuple[str, tuple[Change, ...]], Answer] = {}
        self._reviewed: dict[bytes, Answer] = {}
        self.hopes: list[Answer] | None = None
        """Takes the answers that the draft which is being tried does not wait for; None: it is no draft."""
        self.overruled = 0
        """How often tree-sitter overruled the recogniser."""
        self.broken = 0
        """How many new texts were too much for a parser."""

    def count(self, verdict: Verdict) -> None:
        """Take note of a gate's answer."""
        self.overruled += verdict.overruled
        self.broken += verdict.broken

    @property
    def hopeless(self) -> bool:
        """Whether so many new texts of this output were too much for a parser that it is not to be asked about more."""
        return self.broken >= self.broken_limit

    @property
    def unchecked(self) -> dict[str, str]:
        """The given files that are too much for their parsers, and why, by path."""
        if self.syntax == "off":
            return {}
        gates = [(target.path, gate) for target in self.targets for gate in target.needed]
        return {path: gate.unreadable for path, gate in gates if gate.unreadable is not None}

    def judged(self, target: Target, changes: Sequence[Change]) -> Answer:
        """What the gate says of the target with ``changes``; asked once."""
        key = target.path, tuple(changes)
        if key not in self._judged:
            if self.hopeless:
                return Answer.known(False)
            answer = self._judged[key] = target.gate.ask(changes)
            answer.when_given(self.count)
        return self._judged[key]

    @property
    def unread(self) -> Gate | None:
        """A gate that has not read its file yet; without it nothing can be said of new text."""
        if self.syntax != "each":
            return None
        return next((gate for target in self.targets for gate in target.needed if not gate.ready), None)

    def reviewed(self, subject: Subject) -> Answer:
        """Whether the policy lets a change stand; asked once."""
        encoded = msgspec.msgpack.encode(subject)
        key = hashlib.sha256(encoded).digest()
        if key not in self._reviewed:
            if self.hopeless:
                return Answer.known(False, broken=True)
            answer = self._reviewed[key] = self.gates.review(subject.path or "", encoded, reviewed)
            answer.when_given(self.count)
        return self._reviewed[key]

    def created(self, path: str) -> Target:
        """A file that is not there yet."""
        return Target(View(SourceFile(path, "")), self.vocabulary, gates=self.gates)

    def prepare(self, gates: Gates) -> None:
        """Ask ``gates`` about syntax, and have them begin."""
        self.gates = gates
        for target in self.targets:
            target.gates = gates
            if self.syntax != "off":
                target.prepare()

    def after_edit(self, ledger: Ledger, begin: int, count: int) -> Zone:
        """The zone behind an edit that ended after ``count`` tokens. It stands if every file may end as it is now."""
        return self.between(ledger.settled(), count) if ledger.sound else self.between(ledger, begin)

    def tokens_after(self, context: bytes, text: bytes) -> list[int]:
        """``text`` as the tokenizer writes it behind ``context``, which begins a line.

        If no token begins where ``text`` does, or the line is long, as it writes ``text`` by itself; empty if that is
        not possible either.
        """
        try:
            if len(context) > _LONG_LINE:
                return self.vocabulary.encode(text.decode())
            tokens = self.vocabulary.encode((context + text).decode())
            position = 0
            for index, token in enumerate(tokens):
                if position == len(context):
                    return tokens[index:]
                position += len(self.vocabulary.spelling(token) or b"")
                if position > len(context):
                    break
            return self.vocabulary.encode(text.decode())
        except UnicodeDecodeError:
            return []


def one_line(text: str, param: str) -> bytes:
    """``text`` as a line of bytes.

    Raises:
        UserError: it is not valid Unicode.
    """
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError as error:
        raise UserError(f"{text!r} is not valid Unicode text.", param=param) from error
