"""What a policy says of the calls of one output: which paths they may name, which lines they may quote, what they may write.

A stream cannot go back, so a path is held as soon as nothing that begins so is open, and a new text at each line's end. Where
nothing else is left, the hold is let go: whoever reads the finished calls finds it then. Knows no tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec

from dovetail.serve.constrain.base import Pending
from dovetail.serve.constrain.syntax.gates import Answer, Gates
from dovetail.serve.edit.known.follow import normal
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.content import Rule
from dovetail.serve.edit.policy.paths import any_matches
from dovetail.serve.edit.policy.review import Subject, finding_in, reviewed
from dovetail.serve.edit.protected import protected_lines
from dovetail.serve.types import Decided, Finding, KnownFile, SourceFile

TRIES = 12
"""Refused ends after which a new text may be anything."""
_BYTES_AT_MOST = 32_768


class Project:
    """Files as a policy names them: from ``folder``. A path elsewhere, or of a folder nobody knows, is all of its endings."""

    def __init__(self, policy: Policy, folder: str) -> None:
        self.policy = policy
        self._folder = folder

    def names(self, path: str) -> tuple[str, ...]:
        """What globs are to match: any name is enough."""
        full, home = normal(path, self._folder), normal(self._folder)
        if home and full.startswith(f"{home.rstrip('/')}/"):
            return (full[len(home.rstrip("/")) + 1 :],)
        if not full.startswith("/"):
            return (full,)
        parts = full.strip("/").split("/")
        return tuple("/".join(parts[index:]) for index in range(len(parts)))

    def name(self, path: str) -> str:
        """The one name by which rules know the file."""
        names = self.names(path)
        policy = self.policy
        rules: list[Rule] = [*policy.imports, *policy.calls, *policy.patterns]
        globs = [glob for rule in rules for glob in rule.paths]
        for document in policy.documents:
            globs += [*document.api.freeze, *(each.path for each in document.protected)]
        special = [glob for glob in globs if glob != "**"]
        return next((name for name in names if any_matches(special, name)), names[0])

    def may_edit(self, path: str) -> bool:
        """Whether the file may change at all."""
        names = self.names(path)
        return all(
            any(any_matches(each.paths.allow, name) for name in names)
            and not any(any_matches(each.paths.protect, name, ignore_case=True) for name in names)
            for each in self.policy.documents
        )

    def may_create(self, path: str) -> bool:
        """Whether a file may be made there."""
        created = [each.paths.create for each in self.policy.documents if each.paths.create is not None]
        names = self.names(path)
        return self.may_edit(path) and all(any(any_matches(globs, name) for name in names) for globs in created)

    def may_begin(self, beginning: str) -> bool:
        """Whether a path that may be edited can begin so. Never False for one that does, its dots and double slashes aside."""
        folders, slash, last = beginning.rpartition("/")
        if not slash:
            return self.policy.may_become_open((last,), somewhere=False)
        base, home = normal(folders or "/", self._folder), normal(self._folder) or None
        if base == home:
            return self.policy.may_become_open((last,), somewhere=False)
        if home is not None and f"{home}/".startswith(f"{base.rstrip('/')}/"):
            return self.policy.may_become_open((), somewhere=True)  # The project may still be meant.
        names = self.names(base) if base != "/" else ()
        elsewhere = base.startswith("/") and not (home is not None and base.startswith(f"{home}/"))
        begun = (*(f"{name}/{last}" for name in names), *((last,) if elsewhere else ()))
        return self.policy.may_become_open(begun, somewhere=elsewhere)

    def protected(self, file: KnownFile) -> list[tuple[int, int]]:
        """First and last line, from 1, of what no edit of the file may touch; nothing of a file that is known in part."""
        if not file.whole:
            return []
        source = SourceFile(self.name(file.path), file.pieces[0])
        return protected_lines(source, self.policy.protected_lines((source,)))


class Ruling:
    """The policy over one output. ``vetoes``: what it kept the model from, by rule and path; its caches change, nothing else."""

    def __init__(self, project: Project, gates: Gates) -> None:
        self.project = project
        self._gates = gates
        self._answers: dict[bytes, Answer] = {}
        self.vetoes: dict[tuple[str, str], Finding] = {}
        self.path_free = False

    def veto(self, finding: Finding, decided: Decided) -> None:
        """Remember what the model was kept from."""
        self.vetoes.setdefault((finding.id, finding.path), msgspec.structs.replace(finding, decided=decided))

    def path_may_be(self, beginning: str, *, ended: bool, created: bool = False) -> bool:
        """Whether a path may begin so, or be that."""
        if self.path_free:
            return True
        may_end = self.project.may_create if created else self.project.may_edit
        holds = may_end(beginning) if ended else self.project.may_begin(beginning)
        if not holds:
            self.veto(closed(beginning), "decoding")
        return holds

    def holds(self, subject: Subject) -> bool:
        """Whether the rules let a change stand.

        Raises:
            Pending: that is still being found out.
        """
        encoded = msgspec.msgpack.encode(subject)
        key = hashlib.sha256(encoded).digest()
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._gates.review(subject.path or "", encoded, reviewed)
        if not answer.ready:
            raise Pending(answer)
        if not answer.holds and answer.found:
            self.veto(finding_in(answer.found), "decoding" if subject.fresh is not None else "terminator")
        return answer.holds


def closed(path: str) -> Finding:
    """What is found where a call is about a file that no edit may touch."""
    return Finding(id="paths/closed", rule="paths", path=path, message="The policy keeps this file as it is.")


@dataclass(frozen=True, eq=False)
class PathWatch:
    """Holds a path. ``text``: what it says so far, from what has been written."""

    ruling: Ruling
    text: Callable[[bytes], str]

    def after(self, written: bytes, held_back: int = 0) -> PathWatch | None:
        """With all of ``written`` but the last bytes; None if no open file's path begins so."""
        text = self.text(written[: len(written) - held_back])
        return self if self.ruling.path_may_be(text, ended=False) else None

    def ends(self, written: bytes) -> bool:
        """Whether that is the path of an open file."""
        return self.ruling.path_may_be(self.text(written), ended=True)

    def let_go(self) -> bool:
        """Let any path be; False: that was so already."""
        was, self.ruling.path_free = self.ruling.path_free, True
        return not was


@dataclass(eq=False)
class Rewriting:
    """A file while a call writes new text for it. ``old``: the text replaced; None: the whole file is written anew."""

    ruling: Ruling
    path: str
    before: str
    old: str | None
    everywhere: bool
    known: bool
    refused: set[bytes] = field(default_factory=set)
    free: bool = False

    @cached_property
    def _head(self) -> str | None:
        """What stands before the new text; None: at several places."""
        if self.old is None:
            return ""
        return self.before[: self.before.index(self.old)] if self.before.count(self.old) == 1 else None

    @cached_property
    def _name(self) -> str:
        return self.ruling.project.name(self.path)

    def line_holds(self, text: str) -> bool:
        """Whether the new text may go on behind ``text``, which ends with a line. Raises Pending."""
        head = self._head
        if self.free or head is None or len(head) + len(text) > _BYTES_AT_MOST:
            return True
        return self._judged((head + text).encode(errors="replace"), len(head.encode(errors="replace")))

    def whole_holds(self, text: str) -> bool:
        """Whether the new text may be ``text``. Raises Pending."""
        if self.free:
            return True
        after = text if self.old is None else self.before.replace(self.old, text, -1 if self.everywhere else 1)
        if self._judged(after.encode(errors="replace"), None):
            return True
        return self.free

    def _judged(self, after: bytes, fresh: int | None) -> bool:
        policy, old = self.ruling.project.policy, self._name if self.known else None
        before = self.before.encode(errors="replace")
        subject = Subject(policy.texts, old, self._name, before, after, fresh=fresh, exports=False)
        if self.ruling.holds(subject):
            return True
        self.refused.add(after)
        self.free = len(self.refused) >= TRIES
        return self.free


@dataclass(frozen=True, eq=False)
class RuledText:
    """Holds a new text to the rules. ``lines``: how many bytes of what was written are known to be whole, judged lines."""

    rewriting: Rewriting
    text: Callable[[bytes], str]
    lines: int = 0

    def after(self, written: bytes, held_back: int = 0) -> RuledText | None:
        """With all of ``written`` but the last bytes; None where a finished line cannot stand. Raises Pending."""
        if self.rewriting.free:
            return self
        text = self.text(written[: len(written) - held_back])
        end = text.rfind("\n") + 1
        if end <= self.lines:
            return self
        return replace(self, lines=end) if self.rewriting.line_holds(text[:end]) else None

    def ends(self, written: bytes) -> bool:
        """Whether the new text may be that. Raises Pending."""
        return self.rewriting.whole_holds(self.text(written))

    def let_go(self) -> bool:
        """Let anything be written; False: that was so already."""
        was, self.rewriting.free = self.rewriting.free, True
        return not was
