"""One subtask: its files, its candidates, the ladder, the choice, and one repair. Knows only whether others follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.agent.checks.case import Case, Change, Rung
from dovetail.agent.checks.finding import evidence
from dovetail.agent.checks.policy import changed_lines, is_protected
from dovetail.agent.loop import events
from dovetail.agent.loop.aim import names_missed
from dovetail.agent.loop.candidates import Candidate, Focus, Proposer
from dovetail.agent.loop.ladder import Climb, command_climb, static_climb
from dovetail.agent.loop.localise import localise
from dovetail.agent.loop.plan import Subtask
from dovetail.agent.loop.renaming import Renaming
from dovetail.agent.loop.report import SubtaskReport
from dovetail.agent.loop.state import State


class SubtaskRun:
    """Does one subtask in the workspace of a run."""

    def __init__(self, run: State, subtask: Subtask, told: SubtaskReport, *, others_follow: bool) -> None:
        self._run, self._told, self._others_follow = run, told, others_follow
        self._subtask = replace(
            subtask, new_files=tuple(path for path in subtask.new_files if run.workspace.is_plain(path))
        )
        self._rungs: list[Rung] = []
        self._focus: Focus | None = None
        for requirement in run.requirements:
            if requirement.id in subtask.checks and requirement.check == "renamed":
                old, new = requirement.target.split()
                renaming = Renaming(old, new)
                self._rungs.append(renaming)
                self._focus = renaming

    def go(self) -> None:
        """Accept the best candidate that no rung objects to; else, where others follow, the best that only tools object to."""
        files = self._files()
        self._run.tell(events.SubtaskStarted(self._subtask.id, self._subtask.instruction, tuple(files)))
        if not files:
            self._end(None, "none of its files can be read as text")
            return
        proposer = Proposer(self._run.model, self._subtask, files, self._run.settings.seed, self._focus)
        allowed = frozenset({*files, *self._subtask.new_files})
        tried, best = self._round(proposer, allowed, range(self._run.settings.candidates), "")
        best = best or self._no_worse(tried)
        if best is None:
            said = self._evidence(tried)
            more = range(self._run.settings.candidates, self._run.settings.candidates + self._repairs())
            again, best = self._round(proposer, allowed, more, said)
            tried += again
            best = best or self._mendable(tried)
        self._told.candidates = len(tried)
        if best is None:
            self._end(None, self._evidence(tried, 1) or "no candidate was made")
            return
        self._told.lines, self._told.missed = self._aimed(best, allowed)
        self._run.workspace.accept(best.edit)
        self._run.open = next(tuple(climb.findings) for each, climb in tried if each is best and climb is not None)
        if self._run.open:
            said = f"{self._subtask.id} leaves something for later steps to mend: {evidence(self._run.open, 1)}"
            self._run.note(said)
        self._end(best.number, "")

    def _aimed(self, best: Candidate, allowed: frozenset[str]) -> tuple[int, tuple[str, ...]]:
        """How many lines this step's edit changes, and the names of its instruction if it touches none of them."""
        current = {path: self._run.workspace.current(path) for path in best.edit}
        changes = {path: Change(current[path], text) for path, text in best.edit.items() if current[path] != text}
        missed = names_missed(self._subtask.instruction, self._show(best, allowed), changes)
        if missed:
            self._run.note(f"{self._subtask.id}: the edit touches none of what the step names ({', '.join(missed)}).")
        return sum(map(changed_lines, changes.values())), missed

    def _files(self) -> dict[str, str]:
        """The texts of the subtask's files, as accepted edits have left them."""
        run = self._run
        chosen, note = localise(run.model, run.workspace.before, self._subtask, run.settings.task)
        if note:
            run.note(f"{self._subtask.id}: {note}")
        if not chosen and self._subtask.new_files:
            chosen = self._beside()
        if not self._subtask.files:
            self._told.files = [*chosen, *self._subtask.new_files]
        texts = {path: run.workspace.current(path) for path in chosen}
        unread = [path for path, text in texts.items() if text is None]
        for path in unread:
            run.note(f"{self._subtask.id}: {path} is no text that can be edited; the plan names it.")
        return {path: text for path, text in texts.items() if text is not None}

    def _beside(self) -> tuple[str, ...]:
        """A file to show with a new one: the first that may change, in the new one's folder if there is one."""
        folder = self._subtask.new_files[0].rpartition("/")[0]
        known = [
            path
            for path, facts in self._run.workspace.before.files.items()
            if facts.language and not is_protected(path)
        ]
        return tuple(sorted(known, key=lambda path: (path.rpartition("/")[0] != folder, path))[:1])

    def _round(
        self, proposer: Proposer, allowed: frozenset[str], numbers: Sequence[int], said: str
    ) -> tuple[list[tuple[Candidate, Climb | None]], Candidate | None]:
        """Candidates of one round, cheap rungs for all of them, then dear ones until one passes."""
        tried: list[tuple[Candidate, Climb | None]] = []
        for number in numbers:
            candidate = proposer.propose(number, said)
            self._tell(candidate)
            climb = None
            if candidate.edit and candidate.same_as is None:
                climb = static_climb(self._show(candidate, allowed), self._rungs)
            tried.append((candidate, climb))
            if climb is not None and climb.passed and self._focus is not None:
                break
        for candidate, climb in self._ranked(tried):
            case = self._show(candidate, allowed)
            if climb.passed:
                command_climb(climb, case, self._run.commands, self._run.workspace.tried(candidate.edit))
            self._run.tell_climb(self._subtask.id, candidate.number, climb)
            if climb.passed:
                return tried, candidate
        return tried, None

    def _mendable(self, tried: Sequence[tuple[Candidate, Climb | None]]) -> Candidate | None:
        """The best candidate to which only the project's tools object, if later subtasks can mend that."""
        run = [(each, climb) for each, climb in tried if climb is not None and climb.ran and self._others_follow]
        return self._ranked(run)[0][0] if run else None

    def _no_worse(self, tried: Sequence[tuple[Candidate, Climb | None]]) -> Candidate | None:
        """The best that leaves open nothing but what was open before."""
        known = {each.identity for each in self._run.open}
        return self._mendable(
            [
                (each, climb)
                for each, climb in tried
                if climb is not None and known.issuperset(finding.identity for finding in climb.findings)
            ]
        )

    def _show(self, candidate: Candidate, allowed: frozenset[str]) -> Case:
        return self._run.workspace.show(candidate.edit, allowed, self._run.grants)

    def _ranked(self, tried: Sequence[tuple[Candidate, Climb | None]]) -> list[tuple[Candidate, Climb]]:
        """Those without objections first; then more votes, fewer changed lines, the earlier one."""
        judged = [(candidate, climb) for candidate, climb in tried if climb is not None]
        return sorted(
            judged, key=lambda each: (len(each[1].findings), -each[0].votes, self._size(each[0]), each[0].number)
        )

    def _size(self, candidate: Candidate) -> int:
        changes = self._run.workspace.changes(candidate.edit)
        return sum(changed_lines(changes[path]) for path in candidate.edit if path in changes)

    def _evidence(self, tried: Sequence[tuple[Candidate, Climb | None]], most: int = 5) -> str:
        """What is wrong with the candidate that came furthest; else why there was none."""
        judged = [climb for _, climb in tried if climb is not None]
        if judged:
            furthest = max(judged, key=lambda climb: (len(climb.verdicts), -len(climb.findings)))
            return evidence(furthest.findings, most)
        return next((candidate.problem for candidate, _ in tried if candidate.problem), "")

    def _repairs(self) -> int:
        return max(1, self._run.settings.candidates // 2)

    def _tell(self, candidate: Candidate) -> None:
        size = self._size(candidate) if candidate.edit else 0
        self._run.tell(
            events.CandidateMade(
                self._subtask.id,
                candidate.number,
                tuple(sorted(candidate.edit)),
                size,
                candidate.same_as,
                candidate.problem,
            )
        )

    def _end(self, candidate: int | None, why: str) -> None:
        told = self._told
        told.accepted, told.candidate, told.why = candidate is not None, candidate, why
        self._run.tell(events.SubtaskEnded(self._subtask.id, told.accepted, candidate, why))
        if why:
            self._run.note(
                f"Deviation: {self._subtask.id} was not done ({why.splitlines()[0]}); the plan goes on without it."
            )
