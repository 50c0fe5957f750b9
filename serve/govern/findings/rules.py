"""Which rules are asked of an answer, and what becomes of what they find. Scans nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import PatternRule
from dovetail.serve.edit.policy.rules import GROUPS, pack_names, rules_named
from dovetail.serve.errors import UserError

Action = Literal["report", "block"]


@dataclass(frozen=True)
class RuleSet:
    """Rules, and the ids of those whose findings end an answer."""

    rules: tuple[PatternRule, ...] = ()
    blocking: frozenset[str] = frozenset()

    @cached_property
    def by_language(self) -> Mapping[str, tuple[PatternRule, ...]]:
        """Those that can be asked of each language."""
        names = dict.fromkeys(name for rule in self.rules for name in rule.languages)
        return {name: tuple(rule for rule in self.rules if name in rule.languages) for name in names}

    def __bool__(self) -> bool:
        return bool(self.rules)

    def action(self, rule: str) -> Action:
        """What becomes of a finding of the rule."""
        return "block" if rule in self.blocking else "report"

    def also(self, other: RuleSet) -> RuleSet:
        """Both together: more rules, and blocked whatever one of them blocks."""
        own = {rule.id for rule in self.rules}
        return RuleSet(
            (*self.rules, *(rule for rule in other.rules if rule.id not in own)), self.blocking | other.blocking
        )


@lru_cache(maxsize=8)
def policy_rules(policy: Policy | None) -> RuleSet:
    """The rules that a policy's ``[findings]`` name."""
    found = RuleSet()
    for document in policy.documents if policy is not None else ():
        asked = document.findings
        named = named_rules(asked.rules, "policy.findings.rules", asked.without)
        found = found.also(
            RuleSet(named, frozenset() if asked.mode == "report" else frozenset(each.id for each in named))
        )
    return found


def named_rules(names: Sequence[str], param: str, without: Iterable[str] = ()) -> tuple[PatternRule, ...]:
    """The rules of packs, groups, weaknesses and ids, each once. Raises UserError for a name that is none of them."""
    left_out = frozenset(without)
    found: dict[str, PatternRule] = {}
    for index, name in enumerate(names):
        rules = rules_named(name)
        if not rules:
            there = ", ".join((*pack_names(), *GROUPS))
            raise UserError(
                f"{param}[{index}]: {name!r} is no pack, group, CWE or id of rules; there are {there}.",
                code="invalid_value",
                param=f"{param}[{index}]",
            )
        found |= {rule.id: rule for rule in rules if rule.id not in left_out}
    return tuple(found.values())
