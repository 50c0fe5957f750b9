"""A model that edits by a script, behind a client: no server, no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from dovetail.agent.client import DovetailClient

Answer = Callable[[Mapping[str, str]], Mapping[str, str]]
"""New texts of files, made from those that were given."""


def replacing(old: str, new: str) -> Answer:
    """An edit of every given file that holds the text."""
    return lambda files: {path: text.replace(old, new, 1) for path, text in files.items() if old in text}


class Scripted:
    """A server that gives these edits in their order, the last one again and again."""

    def __init__(self, *edits: Answer, words: str = "it was wrong") -> None:
        self._edits, self._words = edits, words
        self.asked: list[dict[str, Any]] = []

    @property
    def client(self) -> DovetailClient:
        """A client of it."""
        return DovetailClient("http://scripted:1", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": "scripted", "context_length": 8192}]})
        body = json.loads(request.content)
        if "instruction" not in body:
            said = json.dumps({"cause": self._words})
            return httpx.Response(200, json={"choices": [{"message": {"content": said}}]})
        self.asked.append(body)
        edit = self._edits[min(len(self.asked), len(self._edits)) - 1]
        made = edit({file["path"]: file["content"] for file in body["files"]})
        files = [{"path": path, "content": text} for path, text in made.items()]
        return httpx.Response(200, json={"files": files, "usage": {"total_tokens": 10}})
