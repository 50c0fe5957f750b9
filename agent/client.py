"""The HTTP client of a Dovetail server: asks for edits and models. Knows the wire, and nothing of what is behind it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from dovetail.agent.problems import ServerProblem, ServerUnreachable

CONNECT_SECONDS = 2.0
LARGEST_ANSWER = 64 << 20
"""Bytes of an answer that are read; a server that sends more is not listened to."""


class DovetailClient:
    """Talks to one server.

    Args:
        url: where it listens, with or without ``/v1`` at the end.
        seconds: how long one answer may take.
        key: an API key; None: the one in DOVETAIL_API_KEY, if there is one.
        transport: for tests.
        model: named in requests that name none.
    """

    def __init__(
        self,
        url: str,
        *,
        seconds: float = 600.0,
        key: str | None = None,
        transport: httpx.BaseTransport | None = None,
        model: str | None = None,
    ) -> None:
        self._named = {"model": model} if model is not None else {}
        self.url = url.rstrip("/").removesuffix("/v1")
        if not self.url.startswith(("http://", "https://")):
            raise ServerProblem(f"{url!r} is no server address; it must begin with http:// or https://.")
        # A proxy from the environment is for the world outside, not for a server on this machine.
        key = key or os.environ.get("DOVETAIL_API_KEY")
        near = httpx.URL(self.url).host in ("localhost", "127.0.0.1", "::1")
        self._seconds = seconds
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
            transport=transport,
            trust_env=not near,
        )

    def __enter__(self) -> DovetailClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Whether a Dovetail server answers here with its model loaded."""
        try:
            answer = self._http.get("/ready", timeout=CONNECT_SECONDS)
            body = answer.json()
        except (httpx.HTTPError, ValueError):
            return False
        return answer.status_code == 200 and isinstance(body, dict) and body.get("server") == "dovetail"

    def models(self) -> list[dict[str, Any]]:
        """The entries of /v1/models."""
        entries = self._ask("GET", "/v1/models")["data"]
        return list(entries)

    def edit(self, files: Sequence[Mapping[str, str]], instruction: str, **options: Any) -> dict[str, Any]:
        """The whole answer of /v1/edits; ``options`` that are None are left out."""
        given = {name: value for name, value in options.items() if value is not None}
        return self._ask("POST", "/v1/edits", {"instruction": instruction, "files": list(files), **given})

    def chat(self, messages: Sequence[Mapping[str, str]], **options: Any) -> dict[str, Any]:
        """The whole answer of /v1/chat/completions; ``options`` that are None are left out."""
        given = {name: value for name, value in options.items() if value is not None}
        return self._ask("POST", "/v1/chat/completions", {"messages": list(messages), **given})

    def completion(self, **body: Any) -> dict[str, Any]:
        """The whole answer of /v1/completions."""
        return self._ask("POST", "/v1/completions", body)

    def stream_completion(self, **body: Any) -> Iterator[str]:
        """The texts of the events of /v1/completions, as they come; one choice."""
        try:
            with self._http.stream("POST", "/v1/completions", json={**self._named, **body, "stream": True}) as answer:
                if not answer.is_success:
                    raise ServerProblem(_refusal(answer.status_code, _json(self._read(answer))))
                for line in answer.iter_lines():
                    event = _json(line.removeprefix("data: ").encode()) if line.startswith("data: {") else None
                    if isinstance(event, dict) and event.get("choices"):
                        yield str(event["choices"][0]["text"])
                    elif isinstance(event, dict) and "error" in event:
                        raise ServerProblem(_refusal(500, event))
        except httpx.HTTPError as error:
            raise ServerProblem(f"The connection to {self.url} broke: {error}.") from error

    def system_card(self) -> dict[str, Any] | None:
        """The server's system card; None: it has none."""
        try:
            return self._ask("GET", "/v1/system-card")
        except ServerUnreachable:
            raise
        except ServerProblem:
            return None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        wire = None if body is None else {**self._named, **body}
        try:
            with self._http.stream(method, path, json=wire) as answer:
                raw = self._read(answer)
        except httpx.ConnectError as error:
            raise ServerUnreachable(f"No server answers at {self.url}.") from error
        except httpx.TimeoutException as error:
            raise ServerProblem(f"The server at {self.url} took too long.") from error
        except httpx.HTTPError as error:
            raise ServerProblem(f"The connection to {self.url} broke: {error}.") from error
        value = _json(raw)
        if value is None:
            raise ServerUnreachable(f"What answers at {self.url} is not a Dovetail server.")
        if answer.is_success and isinstance(value, dict):
            return value
        raise ServerProblem(_refusal(answer.status_code, value))

    def _read(self, answer: httpx.Response) -> bytes:
        """The body, as long as it keeps to a size and to the time that one answer may take."""
        deadline = time.monotonic() + self._seconds
        raw = bytearray()
        for piece in answer.iter_bytes():
            raw += piece
            if len(raw) > LARGEST_ANSWER:
                raise ServerProblem(f"The server at {self.url} sent more than {LARGEST_ANSWER >> 20} MiB.")
            if time.monotonic() > deadline:
                raise ServerProblem(f"The server at {self.url} took too long.")
        return bytes(raw)


def _json(raw: bytes) -> Any:
    """What it says; None: it is no JSON."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _refusal(status: int, body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return f"The server answered {status}."
    where = f" [{error['param']}]" if error.get("param") else ""
    return f"The server answered {status}: {error.get('message', '')}{where}"
