"""The client's reading of what servers answer."""

from __future__ import annotations

import json

import httpx
import pytest

from dovetail.agent.client import DovetailClient
from dovetail.agent.problems import ServerProblem, ServerUnreachable


def client(answer: httpx.Response | httpx.TransportError) -> tuple[DovetailClient, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer

    return DovetailClient("http://test/v1/", transport=httpx.MockTransport(handle)), seen


def test_an_edit_is_asked_for() -> None:
    asking, seen = client(httpx.Response(200, json={"edits": []}))
    with asking:
        answer = asking.edit([{"path": "a", "content": "b"}], "do", model=None, max_tokens=5)
    assert answer == {"edits": []}
    assert str(seen[0].url) == "http://test/v1/edits"
    assert json.loads(seen[0].content) == {
        "instruction": "do",
        "files": [{"path": "a", "content": "b"}],
        "max_tokens": 5,
    }


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (httpx.Response(200, json={"server": "dovetail"}), True),
        (httpx.Response(503, json={"server": "dovetail"}), False),
        (httpx.Response(200, json={"server": "other"}), False),
        (httpx.Response(200, json=[]), False),
        (httpx.Response(200, text="<html>"), False),
        (httpx.ConnectError("refused"), False),
    ],
)
def test_readiness(answer: httpx.Response | httpx.TransportError, ready: bool) -> None:
    asking, _ = client(answer)
    with asking:
        assert asking.is_ready() is ready


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (httpx.ConnectError("refused"), ServerUnreachable, "No server answers at http://test"),
        (httpx.ReadTimeout("slow"), ServerProblem, "took too long"),
        (httpx.RemoteProtocolError("cut"), ServerProblem, "broke"),
        (httpx.Response(200, text="<html>"), ServerUnreachable, "not a Dovetail server"),
        (httpx.Response(500, json={"detail": "x"}), ServerProblem, "answered 500"),
        (
            httpx.Response(400, json={"error": {"message": "no", "param": "files"}}),
            ServerProblem,
            "400: no \\[files\\]",
        ),
    ],
)
def test_refusals(answer: httpx.Response | httpx.TransportError, kind: type[ServerProblem], message: str) -> None:
    asking, _ = client(answer)
    with asking, pytest.raises(kind, match=message):
        asking.models()


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ServerProblem, match="must begin with http"):
        DovetailClient("localhost:8000")
