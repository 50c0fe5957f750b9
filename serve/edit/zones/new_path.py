"""The path of a file that is not there yet. Knows which paths a new file may have; looks at no disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.paths import path_fault, path_taken
from dovetail.serve.edit.zones.zone import Step, Zone, tokens_through

_LONGEST = 200
_CHARACTERS = rb"[A-Za-z0-9_./@+-]"
_RUN = re.compile(_CHARACTERS + rb"*")
_BEGINNING = re.compile(r"(?!/)(?:(?!\.{1,2}/)[A-Za-z0-9_.@+-]+/)*(?:(?!\.\.?/)[A-Za-z0-9_.@+-]*)\Z")
_PATH = re.compile(
    r"(?:(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.@][A-Za-z0-9_.@+-]*/)*(?!\.{1,2}\Z)[A-Za-z0-9_.@][A-Za-z0-9_.@+-]*\Z"
)


def is_new_path(path: str, taken: Sequence[str]) -> bool:
    """Whether ``path`` may be created beside the paths ``taken``: plain, relative, no file where a folder is."""
    if not _PATH.match(path) or len(path) > _LONGEST or path_fault(path) is not None:
        return False
    return path_taken(path, taken) is None


class NewPath(Zone):
    """``typed`` so far; ``end`` ends it. ``suffix``: what the path has to end in."""

    __slots__ = ("end", "make", "suffix", "typed")

    def __init__(
        self,
        ledger: Ledger,
        begin: int,
        end: bytes,
        make: Callable[[str], Zone | None],
        suffix: str = "",
        typed: str = "",
    ) -> None:
        super().__init__(ledger, begin)
        self.end = end
        self.make = make
        self.suffix = suffix
        self.typed = typed

    def feed(self, data: bytes, step: Step) -> Zone | None:
        run = _RUN.match(data)
        assert run is not None
        typed, rest = self.typed + run.group().decode(), data[run.end() :]
        if not rest:
            if len(typed) > _LONGEST or not _BEGINNING.match(typed) or typed.startswith("-") or "/-" in typed:
                return None
            policy = self.ledger.plan.policy
            if policy is not None and not policy.may_begin(typed):
                return None
            return NewPath(self.ledger, self.begin, self.end, self.make, self.suffix, typed)
        if not rest.startswith(self.end) or not typed.endswith(self.suffix):
            return None
        if not is_new_path(typed, self.ledger.paths):
            return None
        policy = self.ledger.plan.policy
        zone = self.make(typed) if policy is None or policy.may_create(typed) else None
        return zone.feed(rest[len(self.end) :], step) if zone and len(rest) > len(self.end) else zone

    def mask(self) -> Int32Array:
        """Tokens of path characters alone, or of a path's rest and its end."""
        vocabulary = self.ledger.plan.vocabulary
        pattern = re.compile(_CHARACTERS + rb"*(?:" + re.escape(self.end) + rb"[\s\S]*)?\Z")

        def build() -> Int32Array:
            spellings = ((token, vocabulary.spelling(token)) for token in range(len(vocabulary)))
            return vocabulary.pack([token for token, spelling in spellings if spelling and pattern.match(spelling)])

        mask = vocabulary.derived(("new path", self.end), build)
        policy = self.ledger.plan.policy
        leads = policy.leads(self.typed) if policy is not None else None
        if policy is None or leads is None:
            return mask
        ahead = [lead.encode() for lead in leads] + ([self.end] if policy.may_create(self.typed) else [])
        return mask & vocabulary.pack({token for text in ahead for token in tokens_through(vocabulary, b"", text)})

    def branches(self) -> Sequence[bytes] | None:
        return None
