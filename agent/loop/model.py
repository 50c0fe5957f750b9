"""What the loop asks a model: JSON by a schema, and edits of files. Nothing that comes back is trusted here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dovetail.agent.client import DovetailClient
from dovetail.agent.loop.limits import Budget
from dovetail.agent.loop.trajectory import Trajectory, digest
from dovetail.agent.problems import Problem, ServerProblem, ServerUnreachable

_LARGEST_FILE = 2 << 20
_LARGEST_JSON = 1 << 20
_CHARACTERS_A_TOKEN = 3


class UnusableAnswer(Problem):
    """What the model or the server answered cannot be used; the message says why."""


@dataclass(frozen=True)
class Question:
    """A question that is answered by JSON of a schema."""

    name: str
    system: str
    prompt: str
    schema: Mapping[str, Any]
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 2000


@dataclass(frozen=True)
class EditQuestion:
    """A question that is answered by edits of the given files, and of new ones at the ``new`` paths."""

    instruction: str
    files: tuple[tuple[str, str], ...]
    new: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int | None = None
    closed: tuple[tuple[str, int, int], ...] = ()
    """Lines that no edit may touch: path, first, last."""


class Model(Protocol):
    """Answers questions."""

    def answer(self, question: Question) -> Any:
        """The JSON value; it may be anything.

        Raises:
            UnusableAnswer: there is none.
        """

    def edit(self, question: EditQuestion) -> dict[str, str]:
        """The new content of each file that the answer changes or makes.

        Raises:
            UnusableAnswer: the server refused, or what it answered is no edit of these files.
        """


class ServedModel:
    """The model behind a server, within a budget, with every answer kept in the trajectory."""

    def __init__(
        self, client: DovetailClient, trajectory: Trajectory, budget: Budget, model: str | None = None
    ) -> None:
        self._client = client
        self._trajectory = trajectory
        self._budget = budget
        self._model = model

    def answer(self, question: Question) -> Any:
        """Asked of /v1/chat/completions with a ``response_format``."""
        messages = [{"role": "system", "content": question.system}, {"role": "user", "content": question.prompt}]
        form = {
            "type": "json_schema",
            "json_schema": {"name": question.name, "strict": True, "schema": dict(question.schema)},
        }
        body = self._asked(
            {"question": asdict(question)},
            lambda: self._client.chat(
                messages,
                model=self._model,
                response_format=form,
                temperature=question.temperature,
                seed=question.seed,
                max_tokens=question.max_tokens,
            ),
        )
        return read_json(body)

    def edit(self, question: EditQuestion) -> dict[str, str]:
        """Asked of /v1/edits."""
        files = [{"path": path, "content": content} for path, content in question.files]
        options: dict[str, Any] = {"operations": ["create"]} if question.new else {}
        if question.closed:
            options["protected"] = [
                {"path": path, "first_line": first, "last_line": last} for path, first, last in question.closed
            ]
        body = self._asked(
            {"edit": asdict(question)},
            lambda: self._client.edit(
                files,
                question.instruction,
                model=self._model,
                temperature=question.temperature,
                seed=question.seed,
                max_tokens=question.max_tokens,
                **options,
            ),
        )
        return read_edit(body, question)

    def _asked(self, what: dict[str, Any], ask: Any) -> dict[str, Any]:
        key = digest(what)
        known, value = self._trajectory.known(key)
        if not known:
            self._budget.step()
            try:
                value = _kept(ask())
            except ServerUnreachable as problem:
                if "is not a Dovetail server" not in str(problem):
                    raise
                value = {"refused": "the server's answer is no JSON object"}
            except ServerProblem as problem:
                value = {"refused": str(problem)}
            self._trajectory.append({"kind": "answer", "key": key, "value": value})
        else:
            self._budget.steps += 1
        self._budget.tokens += _used(value)
        if not isinstance(value, dict) or "refused" in value:
            raise UnusableAnswer(str(value.get("refused") if isinstance(value, dict) else "no answer"))
        return value


def read_json(body: Mapping[str, Any]) -> Any:
    """The JSON value that a chat answer holds."""
    try:
        text = body["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        text = None
    if not isinstance(text, str) or len(text) > _LARGEST_JSON:
        raise UnusableAnswer("the answer holds no text of a usable size")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer("the answer is no JSON") from error


def read_edit(body: Mapping[str, Any], question: EditQuestion) -> dict[str, str]:
    """The changed files of an answer of /v1/edits, if they are among those that were given or may be made."""
    given = dict(question.files)
    found: dict[str, str] = {}
    for kind in ("files", "operations"):
        for entry in _entries(body, kind):
            path, content = entry.get("path"), entry.get("content")
            if kind == "operations" and entry.get("kind") != "create":
                raise UnusableAnswer(f"the answer asks to {str(entry.get('kind'))[:20]} a file")
            if not isinstance(path, str) or not isinstance(content, str):
                raise UnusableAnswer("the answer holds a file without path or content")
            if path not in given and path not in question.new:
                raise UnusableAnswer(f"the answer names {path[:200]!r}, which is none of the given files")
            if len(content) > _LARGEST_FILE or "\0" in content or not _encodable(content):
                raise UnusableAnswer(f"the answer makes {path!r} too large, or no text")
            if given.get(path) != content:
                found[path] = content
    return found


def _entries(body: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    entries = body.get(kind, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnusableAnswer(f"the answer's {kind} are no list of objects")
    return entries


def _kept(body: dict[str, Any]) -> dict[str, Any]:
    """What a trajectory needs of an answer."""
    return {name: body[name] for name in ("choices", "files", "operations", "usage") if name in body}


def _used(value: Any) -> int:
    """Tokens by the server's count, or by size where it says nothing or too little."""
    usage = value.get("usage") if isinstance(value, dict) else None
    counted = usage.get("total_tokens") if isinstance(usage, dict) else None
    if isinstance(counted, int) and counted > 0:
        return counted
    return len(json.dumps(value)) // _CHARACTERS_A_TOKEN


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
