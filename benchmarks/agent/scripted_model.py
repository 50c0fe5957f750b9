"""A server that answers the agent from a script: correct, wrong and hostile answers over real HTTP, no model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Answer = Body | bytes | Callable[[Body], Body | bytes]
"""What is answered: JSON, raw bytes, or what a function makes of the request; ``ENDLESS`` goes on until nobody listens."""

ENDLESS = b"\0endless"


@dataclass
class Script:
    """Answers by what is asked: ``requirements``, ``plan``, ``files``, and edits in their order, the last one repeated."""

    requirements: Answer | None = None
    plan: Answer | None = None
    files: Answer | None = None
    edits: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, Body]] = field(default_factory=list)
    """What was asked, in order."""

    def answer(self, body: Body) -> Body | bytes:
        """The answer to a request of either endpoint."""
        if "instruction" in body:
            self.asked.append(("edit", body))
            count = sum(kind == "edit" for kind, _ in self.asked)
            chosen: Answer = self.edits[min(count, len(self.edits)) - 1] if self.edits else {"files": []}
            return chosen(body) if callable(chosen) else chosen
        name = body["response_format"]["json_schema"]["name"]
        self.asked.append((name, body))
        told: Answer | None = getattr(self, name, None)
        value = told(body) if callable(told) else told
        if value is None:
            value = {}
        return value if isinstance(value, bytes) else chat(json.dumps(value))


def chat(text: str) -> Body:
    """A chat answer that says this."""
    return {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"total_tokens": 10}}


def changed(files: Mapping[str, str], operations: list[Body] | None = None) -> Body:
    """An answer of /v1/edits that changes these files."""
    entries = [{"path": path, "content": content} for path, content in files.items()]
    return {"files": entries, "operations": operations or [], "usage": {"total_tokens": 10}}


def replacing(old: str, new: str) -> Callable[[Body], Body]:
    """An edit that replaces a text in every given file that holds it."""

    def answer(body: Body) -> Body:
        given = {file["path"]: file["content"] for file in body["files"]}
        return changed({path: text.replace(old, new) for path, text in given.items() if old in text})

    return answer


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The address of a server that answers from the script."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(b'{"data": [{"id": "scripted", "context_length": 8192}], "server": "dovetail"}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = script.answer(body)
            if answer == ENDLESS:
                self._endless()
            else:
                self._send(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def _send(self, raw: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def _endless(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b'{"files": [' + b" " * 1_000_000)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
