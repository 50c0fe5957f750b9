"""The text of a completion while it is told: what of it may be told, and what was found. Knows no wire format."""

from __future__ import annotations

from typing import Any

from dovetail.serve.api.security.fields import SecurityField, told_findings
from dovetail.serve.edit.policy.rules import pack
from dovetail.serve.errors import UserError
from dovetail.serve.govern.findings.answer import AnswerScan, language_of_fence
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.govern.findings.scan import Found, code_key


class PlainWatch:
    """One completion. Code that its prompt holds may be said again."""

    def __init__(self, rules: RuleSet, prompt: str, asked: SecurityField | None) -> None:
        key = code_key(prompt.encode("utf-8", "replace")) if rules else ""
        self._scan = AnswerScan(rules, lambda code: code in key, code_language(asked))
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

    def feed(self, text: str) -> str:
        """What may be told now."""
        return self._scan.feed(text) if self._on else text

    def finish(self) -> str:
        """The rest."""
        return self._scan.finish() if self._on else ""

    def whole(self, text: str) -> str:
        """What may be told of the whole completion."""
        told = self.feed(text)
        return told if self.blocked else told + self.finish()

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
