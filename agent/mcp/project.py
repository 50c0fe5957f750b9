"""What the MCP server's tools do in one repository. Knows nothing of the protocol; made for one thread."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dovetail.agent.checks.case import Change, Grants
from dovetail.agent.checks.commands.run import SandboxRunner
from dovetail.agent.checks.commands.tools import find_tools
from dovetail.agent.client import DovetailClient
from dovetail.agent.loop.ladder import Climb, Commands, command_climb, static_climb
from dovetail.agent.loop.limits import Budget, RunLimits
from dovetail.agent.loop.model import EditQuestion, read_edit
from dovetail.agent.loop.patch import make_patch
from dovetail.agent.loop.trajectory import Trajectory
from dovetail.agent.loop.workspace import Workspace
from dovetail.agent.loop.writing import write_changes
from dovetail.agent.mcp.paths import inside, writable
from dovetail.agent.patches import apply_patch
from dovetail.agent.problems import FileProblem
from dovetail.agent.repo import show
from dovetail.agent.repo.index import RepoIndex
from dovetail.agent.sandbox.snapshots import Snapshots

What = Literal["definitions", "references", "callers", "impact"]
_MOST_FILES, _MOST_BYTES, _MOST_FOUND = 32, 1 << 20, 100


class Applied(NamedTuple):
    """A patch that was written: by whom, and the snapshots around it. Who knows ``id`` may take it back."""

    id: str
    session: str | None
    before: str
    after: str


class Project:
    """One repository. ``connect`` gives a client of the Dovetail server; ``allowed`` are protected files that may change."""

    def __init__(
        self,
        root: Path,
        connect: Callable[[], AbstractContextManager[DovetailClient]],
        allowed: Sequence[str] = (),
        store: Path | None = None,
    ) -> None:
        self.root = root.resolve()
        if not self.root.is_dir():
            raise FileProblem(f"{root} is no folder.")
        self._connect, self._allowed, self._store = connect, tuple(allowed), store
        self._index: RepoIndex | None = None
        self._applied: list[Applied] = []

    def close(self) -> None:
        """Give the index back."""
        if self._index is not None:
            self._index.close()

    def map(self, budget: int, focus: Sequence[str]) -> str:
        """The ranked map within a budget of tokens."""
        return show.map_(self._fresh(), budget, focus).text

    def find(self, what: What, name: str) -> str:
        """Definitions, references, callers, or what a change may break."""
        index = self._fresh()
        if what == "callers":
            return show.callers(index, name).text
        if what == "impact":
            return show.impact(index, name).text
        lines = [f"{each.path}:{each.line} {each.kind} {each.signature}" for each in index.definitions(name)]
        if what == "references":
            lines = [
                f"{each.path}:{each.line} [{each.kind}]{f' in {each.within}' if each.within else ''}"
                for each in index.references(name.rpartition(".")[2])
            ]
        more = [f"... and {len(lines) - _MOST_FOUND} more"] if len(lines) > _MOST_FOUND else []
        return "\n".join([*lines[:_MOST_FOUND], *more]) or f"{name}: no {what} in this repository."

    def edit(self, instruction: str, files: Sequence[str], max_tokens: int | None) -> dict[str, Any]:
        """A patch by the model, held to the files; nothing is written."""
        if not instruction.strip():
            raise FileProblem("instruction must say what to change.")
        if not files or len(files) > _MOST_FILES or len(set(files)) != len(files):
            raise FileProblem(f"files must name 1 to {_MOST_FILES} files, each once.")
        given = {path: self._required(inside(self.root, path)) for path in files}
        with self._connect() as client:
            wire = [{"path": path, "content": text} for path, text in given.items()]
            answer = client.edit(wire, instruction, max_tokens=max_tokens)
        changed = read_edit(answer, EditQuestion(instruction, tuple(given.items())))
        patch = make_patch({path: Change(given[path], text) for path, text in changed.items()})
        said = "Nothing is written: check it, then apply it." if patch else "The model left the files as they are."
        return {"patch": patch, "files": sorted(changed), "note": said}

    def check(self, patch: str, commands: bool) -> dict[str, Any]:
        """The check ladder on a patch; without one, the project's own checks on the tree as it is."""
        with Workspace.open(self.root) as workspace, tempfile.TemporaryDirectory(prefix="dovetail-check-") as folder:
            edit = self._patched(patch) if patch else {}
            case = workspace.show(edit, frozenset(edit), Grants(self._allowed))
            climb = static_climb(case) if patch else Climb()
            runner = SandboxRunner(self.root)
            if commands and climb.passed:
                trajectory = Trajectory.start(Path(folder) / "check.jsonl", {"task": "check"})
                try:
                    tools = find_tools(self.root, workspace.before.files)
                    asked = Commands(runner, tools, workspace.base, trajectory, Budget(RunLimits()), 300.0)
                    told = _as_it_is(asked) if not patch else _climbed(climb, case, asked, workspace.tried(edit))
                finally:
                    trajectory.close()
            else:
                told = _told(climb)
        not_run = [f"{each['check']}: {each['skipped']}" for each in told if each["skipped"]]
        passed = not runner.refused and all(each["passed"] or each["skipped"] for each in told)
        return {"passed": passed, "not_run": not_run, "checks": told, "containment": runner.containment}

    def apply(self, patch: str, session: str | None) -> dict[str, Any]:
        """Write a patch: all of it, exactly where it says, or nothing. ``session``: whose it is; None where nobody can tell."""
        made = self._patched(patch)
        changes = {path: Change(self._text(path), text) for path, text in made.items()}
        snapshots = Snapshots(self.root, self._store)
        before = snapshots.take("before apply")
        write_changes(self.root, changes)
        after = snapshots.take("after apply")
        self._applied.append(Applied(secrets.token_hex(8), session, before.id, after.id))
        return {"written": sorted(made), "snapshot": before.id, "undo": self._applied[-1].id}

    def undo(self, session: str | None, identifier: str) -> dict[str, Any]:
        """Take back the session's last patch, or the one with this id; what somebody else changed since stays."""
        chosen = self._to_undo(session, identifier)
        snapshots = Snapshots(self.root, self._store)
        done = snapshots.restore(snapshots.get(chosen.before), snapshots.get(chosen.after))
        self._applied.remove(chosen)
        paths = [path for path in done.paths if not (self.root / path).is_dir()]
        left = sum(each.session == session for each in self._applied) if session is not None else None
        return {"restored": sorted(paths), "kept": sorted(done.kept), "left": left}

    def _to_undo(self, session: str | None, identifier: str) -> Applied:
        own = [each for each in self._applied if each.session == session]
        if identifier:
            own = [each for each in own if each.id == identifier]
        elif session is None:
            raise FileProblem("This connection has no session: give the id that apply answered in undo.")
        if not own:
            raise FileProblem("Nothing was applied here that could be taken back.")
        return own[-1]

    def _patched(self, patch: str) -> dict[str, str | None]:
        made = apply_patch(patch, lambda path: self._text(writable(self.root, path, self._allowed)))
        for path, text in made.items():
            if text is None:
                raise FileProblem(f"{path} would be deleted; only its owner deletes files.")
        return made

    def _required(self, path: str) -> str:
        text = self._text(path)
        if text is None:
            raise FileProblem(f"{path} does not exist.")
        return text

    def _text(self, path: str) -> str | None:
        try:
            with open(self.root / path, "rb") as file:
                raw = file.read(_MOST_BYTES + 1)
            if len(raw) > _MOST_BYTES:
                raise FileProblem(f"{path} is larger than {_MOST_BYTES >> 10} KiB.")
            return raw.decode("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise FileProblem(f"{path} cannot be read as text.") from error

    def _fresh(self) -> RepoIndex:
        if self._index is None:
            self._index = RepoIndex.open(self.root)
        else:
            self._index.refresh()
        return self._index


def _climbed(climb: Climb, case: Any, commands: Commands, tree: Path) -> list[dict[str, Any]]:
    command_climb(climb, case, commands, tree)
    return _told(climb)


def _told(climb: Climb) -> list[dict[str, Any]]:
    return [_check(each.rung, [str(one) for one in each.findings], each.skipped) for each in climb.verdicts]


def _as_it_is(commands: Commands) -> list[dict[str, Any]]:
    told = []
    for tool in commands.tools:
        if tool.kind != "tests":
            told.append(_check(tool.name, [str(each) for each in commands.base_diagnostics(tool)]))
            continue
        run = commands.base_tests(tool)
        said: Mapping[str, Any] = run.failures
        told.append(_check(tool.name, [run.broken] if run.broken else [str(each) for each in said.values()]))
    return [*told, *(_check(tool.name, [], tool.missing) for tool in commands.missing)]


def _check(name: str, findings: Sequence[str], skipped: str = "") -> dict[str, Any]:
    return {"check": name, "passed": not findings and not skipped, "findings": list(findings)[:50], "skipped": skipped}
