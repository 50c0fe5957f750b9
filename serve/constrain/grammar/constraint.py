"""The constraint that holds an output to a grammar: immutable states over one matcher that moves between them.

llguidance's matcher is mutable. Copying it costs more the longer the output is (8 us at first, 350 us after 20,000 tokens);
going back n tokens and on again costs about a microsecond each. So all states of one output share one matcher, and whichever
state is asked first moves it to itself. Not for several threads at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from dovetail.serve.constrain.base import Draft, Int32Array, Retreat
from dovetail.serve.errors import UserError

_DEAD_END = "NoExtension"
"""How llguidance's error begins where the grammar goes on but no token does."""

_PROMISES = 256
"""Tokens said to be allowed that are remembered: more than the rows of a step."""


class Cursor:
    """A matcher, and the state that it is at.

    Args:
        compiled: a matcher at the start of an output; only copied.
        tokenizer: the matcher's.
        allowed: bit mask of the tokens that may come through at all.
        param: the request field that errors name.
    """

    def __init__(self, compiled: LLMatcher, tokenizer: LLTokenizer, allowed: Int32Array, param: str) -> None:
        self._compiled = compiled
        self._matcher = compiled.deep_copy()
        self.allowed = allowed
        self._param = param
        self._scratch = np.zeros((tokenizer.vocab_size + 31) // 32, dtype=np.int32)
        self.start = self._at = GrammarConstraint(self, None, -1)
        self._promised: deque[tuple[GrammarConstraint, int]] = deque(maxlen=_PROMISES)

    def at(self, state: GrammarConstraint) -> LLMatcher:
        """The matcher, moved to ``state``."""
        here, there = self._at, state
        back, forward = 0, []
        while here is not there:
            if there.depth >= here.depth:
                forward.append(there.token)
                assert there.parent is not None
                there = there.parent
            else:
                back += 1
                assert here.parent is not None
                here = here.parent
        if back and not self._matcher.rollback(back):
            raise self._failure()
        self._at = here
        if forward:
            if not self._matcher.consume_tokens(forward[::-1]):
                raise self._failure()
            self._at = state
        return self._matcher

    def step(self, state: GrammarConstraint, token: int) -> GrammarConstraint | None:
        """The state after ``token``, at which the matcher then is; None if it is not allowed."""
        matcher = self.at(state)
        if matcher.try_consume_tokens([token]) != 1:
            self.refuse_failure()
            return None
        self._at = GrammarConstraint(self, state, token)
        return self._at

    def mask(self, state: GrammarConstraint) -> Int32Array:
        """The tokens allowed at ``state``."""
        matcher = self.at(state)
        matcher.unsafe_compute_mask_ptr(self._scratch.ctypes.data, self._scratch.nbytes)
        if matcher.is_error() and matcher.get_error().startswith(_DEAD_END):
            self._matcher, self._at = self._compiled.deep_copy(), self.start  # a matcher in error stays in it
            return np.zeros_like(self.allowed)
        self.refuse_failure()
        return self._scratch[: len(self.allowed)] & self.allowed

    def promise(self, state: GrammarConstraint, token: int) -> None:
        """Note that ``token`` was said to be allowed at ``state``."""
        self._promised.append((state, token))

    def refuse_contradiction(self, state: GrammarConstraint, token: int) -> None:
        """Raise when ``token``, which now is refused, was or still is said to be allowed at ``state``: llguidance does so with some
        grammars that are ambiguous a thousand times over, as ``(a*)*(a*)*...`` is."""
        said = any(at is state and promised == token for at, promised in self._promised)
        known = 0 <= token < len(self.allowed) * 32
        if said or (known and int(self.mask(state)[token // 32]) >> (token % 32) & 1):
            message = f"{self._param}: this grammar is too ambiguous: its compiler allows a token and then refuses it. Simplify it."
            raise UserError(message, code="grammar_too_complex", param=self._param)

    def refuse_failure(self) -> None:
        """Raise when the matcher has met one of its limits; it never recovers."""
        if self._matcher.is_error():
            raise self._failure()

    def _failure(self) -> UserError:
        reason = self._matcher.get_error().split("\n")[0][:200] or self._matcher.stop_reason()
        message = f"{self._param}: this grammar asks for more work at one token than the server allows ({reason})."
        return UserError(message, code="grammar_too_complex", param=self._param)


class GrammarConstraint:
    """One state after ``depth`` output tokens (see dovetail.serve.constrain.base.Constraint for the contract).

    Raises UserError when the grammar turns out to be too complex.
    """

    __slots__ = ("_cursor", "depth", "parent", "token")

    def __init__(self, cursor: Cursor, parent: GrammarConstraint | None, token: int) -> None:
        self._cursor = cursor
        self.parent = parent
        self.token = token
        self.depth: int = parent.depth + 1 if parent is not None else 0

    def allows(self, token: int) -> bool:
        """Exact: whether ``token`` may come next."""
        words = self._cursor.allowed
        if not 0 <= token < len(words) * 32 or not int(words[token // 32]) >> (token % 32) & 1:
            return False
        allowed = self._cursor.at(self).validate_tokens([token]) == 1
        self._cursor.refuse_failure()
        if allowed:
            self._cursor.promise(self, token)
        return allowed

    def mask_into(self, words: Int32Array) -> bool:
        """Write exactly the allowed tokens; always restrictive, as special tokens are not among them."""
        mask = self._cursor.mask(self)
        words[: len(mask)] = mask
        words[len(mask) :] = 0
        return True

    def advance(self, token: int) -> GrammarConstraint:
        """The state after ``token``.

        Raises:
            ValueError: it is not allowed.
            UserError: the mask has allowed it.
        """
        following = self._cursor.step(self, token) if self.allows(token) else None
        if following is None:
            self._cursor.refuse_contradiction(self, token)
            raise ValueError(f"token {token} is not allowed here")
        return following

    def draft(self, limit: int) -> Draft:
        """Text without an alternative, as the tokenizer would spell it."""
        if limit <= 0:
            return Draft(())
        matcher = self._cursor.at(self)
        matcher.compute_ff_bytes()  # An unforced grammar looks for the tokens of forced text only once it has been asked for that.
        tokens = matcher.compute_ff_tokens()[:limit]
        return Draft(tokens, len(tokens))

    def admits(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens`` are allowed one after another."""
        words = self._cursor.allowed
        held = (int(words[token // 32]) >> (token % 32) & 1 for token in tokens if 0 <= token < len(words) * 32)
        known = sum(1 for _ in takewhile(bool, held))
        admitted: int = self._cursor.at(self).validate_tokens(list(tokens[:known])) if known else 0
        self._cursor.refuse_failure()
        return admitted

    def may_end(self) -> bool:
        """Whether the output is complete here."""
        return self._cursor.at(self).is_accepting()

    def retreat(self) -> Retreat | None:
        """Nowhere: a grammar has no dead ends, except where the vocabulary cannot spell what must come."""
        return None

    def settled(self) -> int | None:
        """Any number: an output cut short is the client's to see, as finish_reason length."""
        return None
