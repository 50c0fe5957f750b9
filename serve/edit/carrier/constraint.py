"""The constraint of an output that may call edit tools: what its grammar allows, and quoted text as the files have it.

Two constraints side by side: a token passes if both let it. Drafts the quoted text from the file, and the new text from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dovetail.serve.constrain.base import Constraint, Draft, Int32Array, Pending, Retreat
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.blocks import BlockText
from dovetail.serve.edit.carrier.patching import Patching
from dovetail.serve.edit.carrier.ruling import PathWatch
from dovetail.serve.edit.carrier.watch import Held, State, Text, fed
from dovetail.serve.pointer import Pointer, Trail
from dovetail.serve.types import Finding

_LONG_LINE = 400


class CarrierConstraint:
    """One state (see dovetail.serve.constrain.base.Constraint for the contract).

    ``grammar`` None: nothing but the quoted texts is held. ``spellings``: those of special tokens that the output shows.
    """

    __slots__ = ("_after", "_count", "_pointer", "_spellings", "_trail", "_vocabulary", "grammar", "state")

    def __init__(
        self,
        vocabulary: Vocabulary,
        spellings: Mapping[int, bytes],
        grammar: Constraint | None,
        state: State,
        trail: Trail | None = None,
        pointer: Pointer | None = None,
        count: int = 0,
    ) -> None:
        self._count = count
        self._vocabulary = vocabulary
        self._spellings = spellings
        self.grammar = grammar
        self.state = state
        self._trail = trail
        self._pointer = pointer
        self._after: tuple[int, State | None] | None = None

    def allows(self, token: int) -> bool:
        """Exact: whether ``token`` may come next.

        Raises:
            Pending: the file that a new text is for is still being read.
        """
        if self._following(token) is None:
            return False
        return self.grammar is None or self.grammar.allows(token)

    def mask_into(self, words: Int32Array) -> bool:
        """Write what both allow: exact but for the end of a file's text."""
        held = self._held_mask()
        if self.grammar is not None and self.grammar.mask_into(words):
            if held is not None:
                words[: len(held)] &= held
                words[len(held) :] = 0
            return True
        if held is None:
            return False
        words[: len(held)] = held
        words[len(held) :] = 0
        return True

    def advance(self, token: int) -> CarrierConstraint:
        """The state after ``token``.

        Raises:
            ValueError: it is not allowed.
        """
        state = self._following(token)
        if state is None:
            raise ValueError(f"token {token} is not allowed here")
        grammar = self.grammar.advance(token) if self.grammar is not None else None
        before = self.state
        trail, pointer = self._trail, self._pointer
        if _quotes_on(before, state):
            assert isinstance(state, Held | BlockText)
            state = replace(state, call=replace(state.call, quoted=(*state.call.quoted, token)))
        elif isinstance(state, Text) and state.replaces:
            inside = isinstance(before, Text) and before.replaces and trail is not None and pointer is not None
            if inside and trail is not None and pointer is not None:
                pointer = trail.after(pointer, token)
            else:
                trail, pointer = Trail(state.call.quoted), Pointer()
                if state.written:
                    pointer = trail.after(Pointer(None, 0, 0), token)
        else:
            trail, pointer = None, None
        count = self._count + 1
        return CarrierConstraint(self._vocabulary, self._spellings, grammar, state, trail, pointer, count)

    def draft(self, limit: int) -> Draft:
        """The rest of a quoted line, the quoted text again as the new one, or what the grammar leaves no choice in."""
        guess = self._guess(limit)
        if not guess:
            if self.grammar is None or self.state.holds:
                return Draft(())
            forced = self.grammar.draft(limit).tokens
            admitted = self.admits(forced)
            return Draft(forced[:admitted], admitted)
        tokens: list[int] = []
        at: CarrierConstraint = self
        for token in guess[:limit]:
            try:
                allowed = at.allows(token)
            except Pending:
                break
            if not allowed:
                break
            at = at.advance(token)
            tokens.append(token)
        return Draft(tokens, evidence=self._pointer.evidence) if self._pointer is not None else Draft(tokens)

    def admits(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens`` are allowed one after another."""
        state, count = self.state, 0
        for token in tokens:
            try:
                after = self._behind(state, token)
            except Pending:
                break
            if after is None:
                break
            state, count = after, count + 1
        return self.grammar.admits(tokens[:count]) if self.grammar is not None else count

    def may_end(self) -> bool:
        """Where the grammar says so; without one, anywhere but inside a quotation."""
        return self.grammar.may_end() if self.grammar is not None else not self.state.holds

    def retreat(self) -> Retreat | None:
        """Nowhere: a quotation can always go on until it may end. A new text or a path that cannot is let go."""
        watch = self.state.watch if isinstance(self.state, Text) else None
        ruling = self.state.heads.texts.ruling
        if watch is None and isinstance(self.state, Patching) and ruling is not None:
            watch = PathWatch(ruling, bytes.decode)
        if watch is None or not watch.let_go():
            return None
        free = CarrierConstraint(
            self._vocabulary, self._spellings, self.grammar, self.state, self._trail, self._pointer, self._count
        )
        return Retreat(self._count, free)

    def vetoes(self) -> tuple[Finding, ...]:
        """What a policy has kept the model from."""
        ruling = self.state.heads.texts.ruling
        return tuple(ruling.vetoes.values()) if ruling is not None else ()

    def settled(self) -> int | None:
        """Any number: an output cut short is the client's to see."""
        return None

    def _following(self, token: int) -> State | None:
        if self._after is not None and self._after[0] == token:
            return self._after[1]
        state = self._behind(self.state, token)
        self._after = token, state
        return state

    def _behind(self, state: State, token: int) -> State | None:
        spelling = self._spellings.get(token) or self._vocabulary.spelling(token)
        if spelling:
            return fed(state, spelling)
        return None if state.holds else state

    def _held_mask(self) -> Int32Array | None:
        state = self.state
        if isinstance(state, Patching | BlockText):
            return state.mask(self._vocabulary)
        if not isinstance(state, Held):
            return None
        found: Int32Array | None = None
        if state.quoting is not None:
            found = state.quoting.mask(self._vocabulary, state.closer)
        if state.ended is not None:
            rest = state.closer[state.closing :]
            more = self._vocabulary.pack([*self._vocabulary.along(rest), *self._vocabulary.under(rest)])
            found = more if found is None else found | more
        return found

    def _guess(self, limit: int) -> list[int]:
        state = self.state
        if isinstance(state, Held) and state.quoting is not None and state.ended is None:
            return self._line_on(state.quoting.likely())
        if isinstance(state, Patching | BlockText):
            return self._line_on(state.likely())
        if self._trail is not None and self._pointer is not None:
            return self._trail.propose(self._pointer, limit)
        return []

    def _line_on(self, likely: tuple[bytes, bytes] | None) -> list[int]:
        """The rest of a line, as the tokenizer writes it behind the line's beginning."""
        if likely is None or not likely[1]:
            return []
        context, rest = likely
        try:
            if len(context) > _LONG_LINE:
                return self._vocabulary.encode(rest.decode())
            tokens = self._vocabulary.encode((context + rest).decode())
        except (UnicodeDecodeError, ValueError):
            return []
        at = 0
        for index, token in enumerate(tokens):
            if at >= len(context):
                return tokens[index:] if at == len(context) else self._vocabulary.encode(rest.decode())
            at += len(self._vocabulary.spelling(token) or b"")
        return []


def _quotes_on(before: State, after: State) -> bool:
    """Whether a token between the two is a part of a quoted text."""
    if isinstance(before, Held) and isinstance(after, Held):
        return before.call.path == after.call.path
    return isinstance(before, BlockText) and isinstance(after, BlockText) and (bool(after.lines) or not after.text)
