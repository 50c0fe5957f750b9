"""The text of a completion while it is told: what of it may be told, and what was found. Knows no wire format."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

from dovetail.serve.api.security.fields import SecurityField, told_findings
from dovetail.serve.edit.policy.rules import pack
from dovetail.serve.errors import UserError
from dovetail.serve.govern.findings.answer import AnswerScan, language_of_fence
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.govern.findings.scan import Found, code_key

LONG = 65_536
"""Characters of a text in which it takes a while to look code up."""


class PlainWatch:
    """One completion. Code that its prompt holds may be said again."""

    def __init__(self, rules: RuleSet, prompt: str, asked: SecurityField | None) -> None:
        self._prompt = prompt
        self._scan = AnswerScan(rules, lambda code: code in self._shown, code_language(asked))
        self._asked = asked
        self._on = bool(rules)

    @property
    def blocked(self) -> bool:
        """Whether a finding has ended the completion."""
        return self._scan.blocked

    @property
    def found(self) -> list[Found]:
        """Findings so far."""
        return self._scan.found

    @cached_property
    def _shown(self) -> str:
        return code_key(self._prompt.encode("utf-8", "replace"))

    def _may_wait(self, text: str | None) -> bool:
        long = len(self._prompt) > LONG and (text is None or "\n" in text)
        return long or self._scan.may_wait(text)

    async def feed(self, text: str) -> str:
        """What may be told now."""
        if not self._on:
            return text
        return await asyncio.to_thread(self._scan.feed, text) if self._may_wait(text) else self._scan.feed(text)

    async def finish(self) -> str:
        """The rest."""
        if not self._on:
            return ""
        return await asyncio.to_thread(self._scan.finish) if self._may_wait(None) else self._scan.finish()

    async def whole(self, text: str) -> str:
        """What may be told of the whole completion."""
        told = await self.feed(text)
        return told if self.blocked else told + await self.finish()

    def told(self) -> dict[str, Any]:
        """The choice's ``security``; nothing where nothing was looked for."""
        if not self._on:
            return {}
        return {"security": told_findings(self.found, self._asked, complete=self._scan.complete, blocked=self.blocked)}


def code_language(asked: SecurityField | None) -> str | None:
    """The language that a request says its answer is in. Raises UserError for one that has no rules."""
    if asked is None or asked.language is None:
        return None
    language = language_of_fence(asked.language)
    if language is None or not any(language in rule.languages for rule in pack("default")):
        there = ", ".join(sorted({name for rule in pack("default") for name in rule.languages}))
        raise UserError(
            f"security.language: there are no rules for {asked.language!r}; there are for {there}.",
            code="invalid_value",
            param="security.language",
        )
    return language
