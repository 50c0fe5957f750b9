"""Coding agents, as docs/clients.md says to set them up: what a correct model edits is edited; no babble breaks the protocol."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from e2e.conftest import Run, Server, Workplace
from e2e.correct_model import NEW
from e2e.recipes import recipes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Client:
    """A command of a recipe.

    ``tool``: what the recipe is to make the client offer. ``reasoning``: whether it hands the model's reasoning back.
    """

    recipe: str
    command: int = 0
    installed: str = "npm"
    tool: str | None = None
    reasoning: bool = True


CLIENTS = {
    "codex": Client("Codex CLI"),
    "codex-catalogue": Client("Codex CLI with the server's catalogue", tool="apply_patch"),
    "codex-built-in": Client("Codex CLI as its built-in provider"),
    "claude-code": Client("Claude Code"),
    "opencode-chat": Client("opencode", 0),
    "opencode-responses": Client("opencode", 1),
    "opencode-messages": Client("opencode", 2),
    "qwen-code": Client("qwen-code"),
    "continue": Client("Continue", reasoning=False),
    "aider-diff": Client("aider", 0, "aider", reasoning=False),
    "aider-whole": Client("aider", 1, "aider", reasoning=False),
}
each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)

COMPLAINTS = re.compile(
    r"stream (?:closed|disconnected) before|failed to parse|reconnecting|could not be parsed|error parsing|json ?parse ?error"
    r"|type ?validation ?error|invalid (?:json|response|type)|unexpected (?:token|event|end)|expected '\w+' to be"
    r"|without a finish reason|traceback(?!(?:.*\n){1,9}.*SyntaxError)|zoderror|malformed",
    re.IGNORECASE,
)
"""What clients say of a server that breaks the protocol. aider's linter tells with a traceback where a file does not parse: what a
babbling model writes into a whole file in plain text is held by nothing."""

REFUSALS = re.compile(r'(?:status=|HTTP/1\.1" )(?!200|404|426)\d{3}')
"""Answers in a server's log that a client ought not to get: all but success, a probe for what is not there, a WebSocket."""


@each_client
def test_a_correct_model_edits_the_file(
    client: Client, scripted: Server, workplace: Workplace, installed: Callable[[str], None]
) -> None:
    installed(client.installed)
    run = workplace.follow(recipes()[client.recipe], scripted, command=client.command)
    assert run.status == 0, str(run)
    assert run.source.startswith(NEW), str(run)
    assert_valid(run)
    if client.tool is not None:
        assert any(client.tool in asked["tools"] for asked in run.asked), str(run)
    if client.reasoning:
        assert any(asked["thoughts"] for asked in run.asked), str(run)


@each_client
def test_a_babbling_model_does_not_break_the_protocol(
    client: Client, babbling: Server, workplace: Workplace, installed: Callable[[str], None]
) -> None:
    """The answers are cut, so that some clients end with a status that says so; but they end by themselves."""
    installed(client.installed)
    run = workplace.follow(recipes()[client.recipe], babbling, command=client.command)
    assert run.status >= 0, str(run)
    assert "status=200" in run.log, str(run)
    assert_valid(run)


def assert_valid(run: Run) -> None:
    """Neither side found fault with the other."""
    assert not COMPLAINTS.search(run.output), str(run)
    assert not REFUSALS.search(run.log), str(run)
