"""Where one file stands at each of its lines, found when asked for; and whether its rest would still parse behind a change.

What follows a place is judged by the state there alone. So once a changed text stands where the original stood at the same
line, all that follows parses as it did: mostly no line, or one, has to be read to know. Knows texts and places, not blocks
or markers. Thread-safe. Cache it by content: Vocabulary.derived does.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property

from dovetail.serve.constrain.syntax.change import Change, changed
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.constrain.syntax.recogniser import Recogniser, State

_STRIDE = 2048
_RECENT = 64
_SINGLE_LINES = 8


class Checkpoints:
    """The states of one text.

    Args:
        recogniser: of the text's language.
        text: the whole file.
        valid: whether tree-sitter reads it without an error, if that is known; otherwise it is asked when that matters.
    """

    def __init__(self, recogniser: Recogniser, text: bytes, valid: bool | None = None) -> None:
        self.recogniser = recogniser
        self.text = text
        self._valid = valid
        self._places = [0]
        self._states = [recogniser.start()]
        self._recent: OrderedDict[int, State] = OrderedDict()
        self._base: tuple[Checkpoints, int] | None = None  # and where, here, the last change ends
        self._joined: int | None = None
        self._lock = threading.RLock()

    @cached_property
    def valid(self) -> bool:
        """Whether tree-sitter reads the text without an error."""
        if self._valid is not None:
            return self._valid
        return not parse(self.recogniser.language, self.text).root_node.has_error

    def before(self, offset: int) -> State:
        """The state behind the first ``offset`` bytes; unknown from the first error on. Cheap to ask for again."""
        with self._lock:
            state = self._recent.get(offset)
            if state is None:
                state = self._recent[offset] = self._found(offset)
                if len(self._recent) > _RECENT:
                    self._recent.popitem(last=False)
            return state

    def warm(self) -> None:
        """Find the state at every kept place, a little at a time, so that nobody else waits long."""
        offset = 0
        while offset < len(self.text):
            offset = self._next_place(offset)
            if not self.before(offset).known:
                return

    def _found(self, offset: int) -> State:
        index = bisect_right(self._places, offset) - 1
        place, state = self._places[index], self._states[index]
        while place < offset and state.known:
            if self._joined is not None and place >= self._joined:
                return self._of_base(offset)
            stop = self._next_place(place)
            state = state.feed(self.text[place : min(stop, offset)]) or self.recogniser.unknown()
            if stop <= offset and stop > self._places[-1]:
                self._keep(stop, state)
            place = stop
        return state

    def _keep(self, place: int, state: State) -> None:
        self._places.append(place)
        self._states.append(state)
        if self._base and place >= self._base[1] and state == self._of_base(place):
            self._joined = place

    def _of_base(self, offset: int) -> State:
        """The state of the text this one was made from, behind its changes: at the same distance from the end."""
        assert self._base
        return self._base[0].before(offset - len(self.text) + len(self._base[0].text))

    def _next_place(self, place: int) -> int:
        """The line start, some way behind ``place``, whose state is kept."""
        return self.text.find(b"\n", place + _STRIDE - 1) + 1 or len(self.text)

    def rejoins(self, state: State, offset: int) -> bool | None:
        """Whether the text from ``offset`` on makes a whole file behind ``state``.

        Exact; quick where ``offset`` begins a line. None: not known, ask the gate: the state is unknown, or the text has
        errors of its own.
        """
        accepted = self._accepted(state, offset)
        return accepted if accepted or self.valid else None

    def _accepted(self, state: State, offset: int) -> bool | None:
        original = self.before(offset)
        for start, stop, near in self._pieces(offset):
            if state == original and self.valid:
                return True
            after = state.feed(self.text[start:stop])
            if after is None or not after.known:
                return None if after else False
            state = after
            original = original.feed(self.text[start:stop]) or self.recogniser.unknown() if near else self.before(stop)
        return state.accepts()

    def _pieces(self, offset: int) -> Iterator[tuple[int, int, bool]]:
        """The text from ``offset`` on: some lines one by one (True), then what lies between kept places."""
        for _ in range(_SINGLE_LINES):
            stop = self.text.find(b"\n", offset) + 1 or len(self.text)
            if offset == len(self.text):
                return
            yield offset, stop, True
            offset = stop
        while offset < len(self.text):
            self.before(min(offset + 2 * _STRIDE, len(self.text)))
            index = bisect_right(self._places, offset)
            stop = self._places[index] if index < len(self._places) else self._next_place(offset)
            yield offset, stop, False
            offset = stop

    def edited(self, changes: Sequence[Change]) -> Checkpoints:
        """The checkpoints of the text with ``changes`` (sorted, disjoint, passed by the gate); shares what it can."""
        if not changes:
            return self
        made = Checkpoints(self.recogniser, changed(self.text, changes), True if self.valid else None)
        with self._lock:
            count = bisect_right(self._places, changes[0].start)
            made._places, made._states = self._places[:count], self._states[:count]
        made._base = self, len(made.text) - len(self.text) + changes[-1].end
        return made
