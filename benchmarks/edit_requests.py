"""Random requests for /v1/edits over nasty files: every format, operations, protected lines, gatings. Knows no server."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from edit_checker import Rules
from nasty_files import nasty_file
from policy_faults import harsh_policy

FORMATS = ("blocks", "blocks", "apply_patch", "unified_diff", "whole_file", "str_replace", "str_replace")
OPERATIONS = {
    "blocks": ("create",),
    "apply_patch": ("create", "delete", "rename"),
    "unified_diff": ("create", "delete", "rename"),
    "whole_file": ("create",),
    "str_replace": ("create",),
}


SHORT = 150


class Asked(NamedTuple):
    """A request, and what a checker has to know of it."""

    body: dict[str, Any]
    files: dict[str, str]
    languages: dict[str, str]
    kinds: tuple[str, ...]
    rules: Rules


class Bias(NamedTuple):
    """Tokens whose chances vary from request to request, lest nothing ever ends."""

    markers: Sequence[int]
    ends: Sequence[int]
    line_feeds: Sequence[int]

    def drawn(self, rng: random.Random) -> dict[str, float]:
        """A logit bias."""
        spread = ((self.markers, 0, 5), (self.ends, -5, 0), (self.line_feeds, -1, 2))
        return {str(token): rng.uniform(low, high) for tokens, low, high in spread for token in tokens}


def random_request(
    rng: random.Random, bias: Bias, formats: Sequence[str] = FORMATS, *, policies: bool = False
) -> Asked:
    """One to three files, a format, rules and sampling; with ``policies``, a harsh policy too."""
    name = rng.choice(formats)
    picked = {entry[2]: entry for entry in (_file(rng, name) for _ in range(rng.choice([1, 1, 2, 3])))}
    files = {path: content for _, _, path, content in picked.values()}
    rules = Rules(
        format=name,
        syntax=rng.choice(["each"] * 8 + ["final", "off"]),
        operations=OPERATIONS[name] if rng.random() < 0.2 else (),
        protected=tuple(_protected(rng, files)) if rng.random() < 0.2 else (),
    )
    body = {
        "instruction": "change something",
        "files": [{"path": path, "content": content} for path, content in files.items()],
        "format": name,
        "syntax": rules.syntax,
        "operations": list(rules.operations),
        "protected": [{"path": path, "first_line": first, "last_line": last} for path, first, last in rules.protected],
        "max_tokens": rng.choice([rng.randrange(1, 40), *[rng.randrange(40, 300) for _ in range(4)]]),
        "temperature": rng.choice([0.0, 0.5, 0.5, 0.7, 0.7, 1.0, 1.5]),
        "seed": rng.randrange(2**31),
        "logit_bias": bias.drawn(rng),
    }
    if policies:
        body["policy"] = harsh_policy(rng, list(files))
    if rng.random() < 0.2:
        body["stream"] = True
    languages = {path: language for language, _, path, _ in picked.values()}
    return Asked(body, files, languages, tuple(kind for _, kind, _, _ in picked.values()), rules)


def _file(rng: random.Random, name: str) -> tuple[str, str, str, str]:
    """A nasty file; a short one where a model that babbles has to write it whole."""
    while True:
        entry = nasty_file(rng)
        if name != "whole_file" or len(entry[3]) < SHORT or rng.random() < 0.1:
            return entry


def _protected(rng: random.Random, files: dict[str, str]) -> list[tuple[str, int, int]]:
    found = []
    for path, content in files.items():
        count = content.count("\n") + (not content.endswith("\n"))
        if content and rng.random() < 0.7:
            first = rng.randint(1, count)
            found.append((path, first, min(count, first + rng.randrange(3))))
    return found
