"""Whether a text asks for what a clause forbids: the rules, sentence by sentence. Knows no conversation and no model."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from dovetail.serve.govern.declines.document import AcceptableUse, Clause

By = Literal["rule", "guard", "run"]

MOST_CHARACTERS = 200_000
"""Of one message: its beginning and its end are read, where people ask for things."""
_SENTENCE = 600
_ENDS = re.compile(r"[.!?;]+(?:\s|$)|\n\s*\n|\r")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\u202a-\u202e\ufeff]")
_WORDS = re.compile(
    r"malware|ransom|stealer|grabber|botnet|rootkit|bootkit|spyware|trojan|worm|virus|keylog|key-log|backdoor|reverse shell|dropper"
    r"|implant|wiper|jack|phish|smish|fake|harvest|steal|grab|exfiltrat|skim|dump|delete|wipe|erase|destroy|corrupt|brick|trash|bomb"
    r"|sabotage|ddos|dos |denial|booter|stresser|flood|slowloris|amplif|take down|offline|crash|bring down|overload|hack|break in|get in"
    r"|log in|brute|crack|spy|track|secret|hidden|hide|record|monitor|knowing|infect|spread|propagat|replicat|encrypt"
)


@dataclass(frozen=True)
class Decline:
    """Why a request is declined. ``by``: who said so; ``rule``: which one, where it was a rule."""

    clause: Clause
    by: By
    rule: str = ""

    @property
    def message(self) -> str:
        """What the person is told."""
        return (
            f"This request is declined under the acceptable use policy of this server, clause '{self.clause.id}': "
            f"{self.clause.title}. {self.clause.text} If it was meant otherwise, ask the owner of the server; "
            "begin a new conversation for something else."
        )


def plain_text(text: str) -> str:
    """The text as rules read it: lower case, one form for each letter, nothing invisible."""
    if len(text) > MOST_CHARACTERS:
        text = text[: MOST_CHARACTERS // 2] + "\n\n" + text[-MOST_CHARACTERS // 2 :]
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold().replace("’", "'")


def judge(policy: AcceptableUse, text: str) -> Decline | None:
    """The first rule that finds something in ``text``."""
    text = plain_text(text)
    if not _WORDS.search(text):
        return None
    for paragraph in _ENDS.split(text):
        sentence = " ".join(paragraph.split())
        for start in range(0, max(1, len(sentence)), _SENTENCE):
            part = sentence[max(0, start - 100) : start + _SENTENCE]
            for rule in policy.rule:
                if rule.finds(part):
                    clause = policy.clause_of(rule.clause)
                    assert clause is not None, "a policy's rules name its clauses"
                    return Decline(clause, "rule", rule.id)
    return None
