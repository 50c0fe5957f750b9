"""What one request does, gathered while it is answered, and recorded as two records: asked, and answered."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dovetail.serve.govern.audit.log import AuditLog, Private
from dovetail.serve.govern.principal import ANONYMOUS, Principal
from dovetail.serve.types import Event, FinishEvent, Request, RollbackEvent, TokensEvent

Decision = Literal["answered", "refused", "quota", "overloaded", "invalid", "policy", "decline", "failed", "left"]

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Requests that change nothing are recorded only where they are refused."""

_BY_CODE: Mapping[str, Decision] = {"rate_limit_exceeded": "quota", "edit_policy": "policy"}
_BY_STATUS: Mapping[int, Decision] = {401: "refused", 403: "refused", 429: "overloaded", 499: "left"}


@dataclass
class Trail:
    """``log`` None: nothing is recorded, and every method does nothing.

    ``status`` None: the client left before it was sent one. ``code``: of the error that was told.
    """

    log: AuditLog | None = None
    request_id: str = ""
    method: str = ""
    endpoint: str = ""
    client: str = ""
    principal: Principal = ANONYMOUS
    status: int | None = None
    code: str | None = None
    decision: Decision | None = None
    _facts: dict[str, Any] = field(default_factory=dict)
    _outputs: list[list[str]] = field(default_factory=list)
    _usage: dict[str, int] = field(default_factory=dict)
    _closed: bool = False

    async def asked(self, requests: Sequence[Request], decode: Callable[[Sequence[int]], str]) -> None:
        """Record that the model is asked this; where the settings say so, wait until that is on the disk."""
        if self.log is None:
            return
        prompts = list({id(request.prompt): request.prompt for request in requests}.values())
        shown = [Private(lambda prompt=prompt: decode(prompt)) for prompt in prompts]  # type: ignore[misc]
        self._outputs += [[] for _ in requests]
        written = self.log.record("asked", {**self._head(), "prompts": shown, "answers": len(requests)})
        if self.log.waits:
            await asyncio.wrap_future(written)

    def event(self, index: int, event: Event) -> None:
        """One of the engine's events for the request with this number."""
        if self.log is None:
            return
        pieces = self._outputs[index]
        if isinstance(event, TokensEvent):
            pieces.append(event.text)
        elif isinstance(event, RollbackEvent):
            pieces[:] = ["".join(pieces)[: event.keep_chars]]
        elif isinstance(event, FinishEvent):
            for name, count in (("prompt", event.usage.prompt_tokens), ("completion", event.usage.completion_tokens)):
                self._usage[name] = self._usage.get(name, 0) + count
            self.add("finish", event.reason)

    def add(self, name: str, fact: Any) -> None:
        """One more fact of a kind: ``tool_calls``, ``edits``, ``findings``, ``finish``."""
        if self.log is not None:
            self._facts.setdefault(name, []).append(fact)

    def call(self, name: str, arguments: str) -> None:
        """The model called a tool."""
        self.add("tool_calls", {"name": name, "arguments": Private(arguments)})

    def edit(self, kind: str, path: str, content: str) -> None:
        """A file is as ``content`` says after the answer's edits."""
        if self.log is not None:
            digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
            self.add("edits", {"kind": kind, "path": path, "after": digest})

    def close(self) -> None:
        """Record what came of the request. Once is enough, more does no harm."""
        if self.log is None or self._closed:
            return
        self._closed = True
        decision = self.decision or self._decided()
        if self.method in READING and decision not in ("refused", "quota"):
            return
        outputs = [Private("".join(pieces)) for pieces in self._outputs]
        told: dict[str, Any] = {**self._head(), "decision": decision, "status": self.status}
        told |= {"code": self.code} if self.code is not None else {}
        told |= {"outputs": outputs} if outputs else {}
        told |= {"usage": self._usage} if self._usage else {}
        self.log.record("answered", {**told, **self._facts})

    def _decided(self) -> Decision:
        if self.code is not None and self.code in _BY_CODE:
            return _BY_CODE[self.code]
        status = self.status if self.status is not None else 499
        if status in _BY_STATUS:
            return _BY_STATUS[status]
        if status < 400:
            return "answered" if self.code is None else "failed"
        return "invalid" if status < 500 else "failed"

    def _head(self) -> dict[str, Any]:
        who = {"id": self.principal.id, "name": self.principal.name, "kind": self.principal.kind}
        if self.principal.group is not None:
            who["group"] = self.principal.group
        return {
            "request_id": self.request_id,
            "who": who,
            "client": self.client,
            "method": self.method,
            "endpoint": self.endpoint,
            **(self.log.constants if self.log is not None else {}),
        }
