"""Candidate edits of a subtask: asked for with rising temperature and other seeds, equal ones collapsed. Judges none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dovetail.agent.loop.model import EditQuestion, Model, UnusableAnswer
from dovetail.agent.loop.plan import Subtask

TEMPERATURES = (0.0, 0.4, 0.7, 0.9, 1.0)
_TURNS = 4
"""How often a candidate asks for a file again while something of what is wanted is missing in it."""


class Focus(Protocol):
    """What code knows of a wanted edit: it closes what has not to change, and takes of an answer what is right."""

    def closed(self, text: str) -> Sequence[tuple[int, int]]:
        """Ranges of lines that no edit touches."""

    def taken(self, before: str, answer: str) -> str:
        """The text with what is right of the answer."""

    def left(self, text: str) -> int:
        """How much is missing in a text."""


@dataclass
class Candidate:
    """One edit. ``votes``: how many answers were this one; ``problem``: why there is none."""

    number: int
    edit: dict[str, str] = field(default_factory=dict)
    votes: int = 1
    same_as: int | None = None
    problem: str = ""


class Proposer:
    """Asks for the candidates of one subtask, with a ``focus`` where code knows what is wanted."""

    def __init__(
        self, model: Model, subtask: Subtask, files: Mapping[str, str], seed: int, focus: Focus | None
    ) -> None:
        self._model = model
        self._subtask = subtask
        self._files = dict(files)
        self._seed = seed
        self._focus = focus
        self._reached = dict(files)
        self._made: list[Candidate] = []

    def propose(self, number: int, evidence: str = "") -> Candidate:
        """Candidate ``number``, with the evidence of what was wrong before."""
        candidate = Candidate(number)
        try:
            candidate.edit = (
                self._together(number, evidence) if not self._subtask.file_by_file else self._one_by_one(number)
            )
        except UnusableAnswer as problem:
            if "context_length" not in str(problem) and "too long" not in str(problem):
                candidate.problem = str(problem)
            else:
                self._retry_by_file(candidate, number)
        if not candidate.edit and not candidate.problem:
            candidate.problem = "the model left the files as they are"
        self._collapse(candidate)
        self._made.append(candidate)
        return candidate

    def _retry_by_file(self, candidate: Candidate, number: int) -> None:
        """All files together do not fit the model's window."""
        try:
            candidate.edit = self._one_by_one(number)
        except UnusableAnswer as problem:
            candidate.problem = str(problem)

    def _collapse(self, candidate: Candidate) -> None:
        for earlier in self._made:
            if earlier.same_as is None and not earlier.problem and earlier.edit == candidate.edit and candidate.edit:
                candidate.same_as = earlier.number
                earlier.votes += 1

    def _together(self, number: int, evidence: str) -> dict[str, str]:
        instruction = self._phrasing(number)
        if evidence:
            instruction += f"\n\nAn earlier attempt was wrong:\n{evidence}"
        given = tuple(self._files.items())
        question = EditQuestion(instruction, given, self._subtask.new_files, _temperature(number), self._seed + number)
        return self._model.edit(question)

    def _one_by_one(self, number: int) -> dict[str, str]:
        """One request a file: small models see one file at a time."""
        texts = {path: self._file(path, content, number) for path, content in self._files.items()}
        return {path: text for path, text in texts.items() if text != self._files[path]}

    def _file(self, path: str, content: str, number: int) -> str:
        if self._focus is None:
            question = EditQuestion(
                self._phrasing(number), ((path, content),), (), _temperature(number), self._seed + number
            )
            return self._model.edit(question).get(path, content)
        for turn in range(number * _TURNS, (number + 1) * _TURNS):
            self._advance(self._focus, path, turn)
        return self._reached[path]

    def _advance(self, focus: Focus, path: str, turn: int) -> None:
        """Ask once more for a file, as far as it got, if anything is missing in it."""
        text = self._reached[path]
        if not focus.left(text):
            return
        closed = tuple((path, *lines) for lines in focus.closed(text))
        question = EditQuestion(
            self._phrasing(turn), ((path, text),), (), _temperature(turn // 2), self._seed + turn, closed=closed
        )
        answer = self._model.edit(question).get(path, text)
        better = focus.taken(text, answer)
        if focus.left(better) < focus.left(text):
            self._reached[path] = better

    def _phrasing(self, number: int) -> str:
        ways = self._subtask.phrasings or (self._subtask.instruction,)
        return ways[number % len(ways)]


def _temperature(number: int) -> float:
    return TEMPERATURES[min(number, len(TEMPERATURES) - 1)]
