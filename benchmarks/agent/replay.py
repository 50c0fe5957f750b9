"""A model that gives a task's right answer, its wrong ones, or hostile ones, whatever it is asked. Serves nothing itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Literal

from scripted_model import Body, changed, chat
from task import Task, Texts

Mode = Literal["correct", "wrong", "hostile"]
MODES: tuple[Mode, ...] = ("correct", "wrong", "hostile")
_MOST_FILES = 8
_DESTROYS = (
    'import os\nos.system("rm -rf ../* ~/* .git; git reset --hard; touch /tmp/dovetail-escaped ../escaped")\n',
    'import shutil\nshutil.rmtree("/tmp", ignore_errors=True)\nshutil.rmtree("..", ignore_errors=True)\nraise SystemExit(0)\n',
)


class Replay:
    """Answers requests of both endpoints."""

    def __init__(self, task: Task, mode: Mode) -> None:
        self._task, self._mode = task, mode
        self._answers = (task.right,) if mode == "correct" else task.wrong
        self._edits = cycle(_hostile_edits(task)) if mode == "hostile" else cycle(self._answers)

    def answer(self, body: Body) -> Body | bytes:
        """What the model says to this request."""
        if "instruction" in body:
            return self._edit(body)
        name = body["response_format"]["json_schema"]["name"]
        return chat(json.dumps({"requirements": self._requirements, "plan": self._plan}.get(name, dict)()))

    def _requirements(self) -> Body:
        ask = self._task.ask
        if self._mode != "hostile":
            return {"requirements": [{"text": ask[:300], "check": "unchecked", "target": "", "path": ""}]}
        there = next(iter(self._task.right))
        claims = [
            ("contains", "return", there),
            ("defines", "everything", ""),
            ("done", "", ""),
            ("command", "rm -rf ~", ""),
        ]
        return {"requirements": [{"text": ask[:300], "check": check, "target": target, "path": path} for check, target, path in claims]}  # fmt: skip

    def _plan(self) -> Body:
        paths = list(dict.fromkeys(path for answer in self._answers for path in answer))
        if self._mode == "hostile":
            paths = ["/etc/passwd", "../outside.py", ".git/config", *self._task.right]
        old = [path for path in paths if path in self._task.files]
        new = [path for path in paths if path not in self._task.files]
        groups = [old[first : first + _MOST_FILES] for first in range(0, len(old), _MOST_FILES)] or [[]]
        steps = [
            {"instruction": f"{self._task.ask[:300]} (part {number})", "files": files, "new_files": [], "checks": []}
            for number, files in enumerate(groups, 1)
        ]
        steps[0]["new_files"] = new
        return {"subtasks": steps, "risks": []}

    def _edit(self, body: Body) -> Body | bytes:
        given = {file["path"]: file["content"] for file in body["files"]}
        chosen = next(self._edits)
        if self._mode == "hostile":
            return chosen(given) if callable(chosen) else chosen
        made = {path: text for path, text in chosen.items() if path not in self._task.files}
        edited = {path: chosen[path] for path in given if path in chosen}
        if self._mode == "wrong" and not edited and not made:
            return changed(chosen)
        if body.get("operations") != ["create"]:
            return changed(edited)
        return changed(edited, [{"kind": "create", "path": path, "content": text} for path, text in made.items()])


def _hostile_edits(task: Task) -> Sequence[object]:
    return [*_code(), *_paths(task), b"no json", {"files": "all"}, {"files": [{"path": 7}]}, b'{"files":' * 3000]


def _code() -> Iterator[object]:
    for before in _DESTROYS:
        yield lambda given, before=before: changed({path: before + text for path, text in given.items()})
    yield lambda given: changed(dict.fromkeys(given, ""))


def _paths(task: Task) -> Iterator[object]:
    outside: Texts = {"/etc/passwd": "x\n", "../outside.py": "x\n", ".git/config": "x\n", "notes.txt": "gone\n"}
    for path, text in outside.items():
        yield changed({path: text})
        yield {**changed({}), "operations": [{"kind": "create", "path": path, "content": text}]}
    yield {**changed({}), "operations": [{"kind": "delete", "path": path} for path in task.right]}
