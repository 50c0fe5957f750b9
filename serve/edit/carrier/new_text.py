"""The new text of a call, where the whole file is known: every token has to leave a file that can still be one of its language.

The recogniser starts where the quoted text does, and at the end says whether the rest of the file still fits. There is no
way back in a stream, so a text that cannot be put right after so many tries is let go.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace

from dovetail.serve.constrain.base import Pending
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.checkpoints import Checkpoints
from dovetail.serve.constrain.syntax.gates import Answer, Gate, Gates
from dovetail.serve.constrain.syntax.recogniser import State, recogniser
from dovetail.serve.constrain.syntax.tables import TableError
from dovetail.serve.constrain.utf8 import ONE_MISSING, START, completions, run
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.types import KnownFile

TRIES = 12
"""Refused ends after which a new text may be anything."""

_CONTROLS = [bytes((byte,)) for byte in (*range(0x20), 0x7F)]
_UNITS = re.compile(
    rb"(?:[^\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4})*", re.DOTALL
)


@dataclass(frozen=True, eq=False)
class Grammars:
    """Where known files stand in their languages' grammars, once per content. ``gates`` read files and find their errors."""

    vocabulary: Vocabulary
    gates: Gates

    def gate(self, file: KnownFile) -> Gate:
        """The gate of a file that is known whole."""
        raw = file.pieces[0].encode(errors="replace")
        key = ("gate", self.gates, file.path, hashlib.sha256(raw).digest())
        return self.vocabulary.derived(key, lambda: self.gates.open(file.path, raw), len(raw))

    def checkpoints(self, file: KnownFile) -> Checkpoints | None:
        """None of a file with errors, or in no known language.

        Raises:
            Pending: the file is still being read.
        """
        gate = self.gate(file)
        if not gate.ready:
            raise Pending(gate)
        language, raw = gate.language, file.pieces[0].encode(errors="replace")
        if language is None or gate.faulty:
            return None

        def build() -> Checkpoints | None:
            try:
                return Checkpoints(recogniser(language), raw, valid=True)
            except TableError:
                return None

        key = ("checkpoints", language, hashlib.sha256(raw).digest())
        return self.vocabulary.derived(key, build, 4 * len(raw))


@dataclass(eq=False)
class Replaced:
    """The text that a call replaces: from ``start`` to ``end`` of the file. ``answers``: what the gate says of new texts.
    ``refused``: those that must not end; beside the answers the one thing about a state that changes."""

    checkpoints: Checkpoints
    gate: Gate
    start: int
    end: int
    answers: dict[bytes, Answer] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)
    free: bool = False

    def holds(self, text: bytes) -> bool:
        """Whether the parsers take the file with ``text``, as the recogniser expects.

        Raises:
            Pending: they have not said so yet.
        """
        if text not in self.answers:
            self.answers[text] = self.gate.ask([Change(self.start, self.end, text)], True)
        if not self.answers[text].ready:
            raise Pending(self.answers[text])
        return self.answers[text].holds


@dataclass(frozen=True, eq=False)
class NewText:
    """``state``: behind the first ``seen`` bytes of what has been written, in JSON or as it is."""

    replaced: Replaced
    state: State
    in_json: bool
    seen: int = 0

    @classmethod
    def begun(cls, grammars: Grammars, file: KnownFile, old: str, *, in_json: bool) -> NewText | None:
        """Before its first byte; None: nothing can be said of it.

        Raises:
            Pending: the file is still being read.
        """
        if not file.whole or not old or file.pieces[0].count(old) != 1:
            return None
        checkpoints = grammars.checkpoints(file)
        if checkpoints is None:
            return None
        start = len(file.pieces[0][: file.pieces[0].index(old)].encode(errors="replace"))
        end = start + len(old.encode(errors="replace"))
        return cls(Replaced(checkpoints, grammars.gate(file), start, end), checkpoints.before(start), in_json)

    def after(self, written: bytes, held_back: int = 0) -> NewText | None:
        """With all of ``written`` but the last ``held_back`` bytes; None if no file of the language goes on like this."""
        if self.replaced.free or not self.state.known:
            return self
        end = len(written) - held_back
        fresh = written[self.seen : end]
        text, used = _decoded(fresh) if self.in_json else _whole(fresh)
        state = self.state.feed(text)
        if state is None or not _completes(state, fresh[used:]):
            return None
        # What begins to close the text is refused at once where it neither may end nor go on so: later is too late.
        if held_back and not self._fits(state) and state.feed(written[end:]) is None:
            return None
        return replace(self, state=state, seen=self.seen + used)

    def _fits(self, state: State) -> bool:
        return self.replaced.checkpoints.rejoins(state, self.replaced.end) is not False

    def let_go(self) -> bool:
        """See TextWatch."""
        was, self.replaced.free = self.replaced.free, True
        return not was

    def ends(self, written: bytes) -> bool:
        """Whether it may end, all of ``written`` having been seen. Asked often enough in vain, it says yes.

        Raises:
            Pending: the parsers have not answered yet.
        """
        if self.replaced.free:
            return True
        text = (_decoded(written) if self.in_json else _whole(written))[0]
        if self._fits(self.state) and self.replaced.holds(text):
            return True
        self.replaced.refused.add(written)
        self.replaced.free = len(self.replaced.refused) >= TRIES
        return self.replaced.free


def text_of(written: bytes, *, in_json: bool) -> str:
    """The whole characters of what has been written, inside a JSON string or as they are."""
    return (_decoded(written) if in_json else _whole(written))[0].decode(errors="replace")


def _whole(written: bytes) -> tuple[bytes, int]:
    """The whole characters of what has been written, and how many bytes they are: the last one may be cut short."""
    end = len(written)
    while end and len(written) - end < 3 and run(START, written[:end]) != START:
        end -= 1
    return written[:end], end


def _completes(state: State, begun: bytes) -> bool:
    """Whether a character that has ``begun`` has an end from which anything leads on; asked where one byte is missing.

    An escape by number is one of a control character: the grammars of calls know no other.
    """
    if begun.startswith(b"\\u"):
        meant = [control for control in _CONTROLS if (b"\\u%04x" % control[0]).startswith(begun.lower())]
        return not meant or any(state.feed(control) is not None for control in meant)
    if run(START, begun) != ONE_MISSING:
        return True
    return any(state.feed(begun + rest) is not None for rest in completions())


def _decoded(written: bytes) -> tuple[bytes, int]:
    """The text of what has been written inside a JSON string, and how much of it that is: an escape may be cut short."""
    units = _UNITS.match(written)
    assert units is not None
    _, end = _whole(written[: units.end()])
    try:
        text = json.loads(b'"' + written[:end] + b'"', strict=False)
    except ValueError:
        return b"", 0
    return str(text).encode(errors="replace"), end
