"""Made-up identifiers of many shapes, and new names that resemble an old one.

A model that only ever saw one shape of name learns the shape instead of copying what it reads: that
is what the renames of the first version failed at. Knows nothing of files or instructions.
"""

from __future__ import annotations

import keyword
import random
import re

from dovetail.models.embedded import name_parts, snippets


def word(rng: random.Random) -> str:
    """One part of a name: a word, an invented one, or an abbreviation."""
    roll = rng.random()
    if roll < 0.72:
        return rng.choice((*snippets.NOUNS, *snippets.VERBS, *name_parts.WORDS))
    if roll < 0.9:
        made = "".join(rng.choice(name_parts.ONSETS) + rng.choice(name_parts.VOWELS) for _ in range(rng.randint(1, 3)))
        return made + rng.choice(name_parts.CODAS)
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 4)))


def parts_of(name: str) -> list[str]:
    """The words of an identifier, in lower case."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [part.lower() for part in spaced.split("_") if part]


def spelled(parts: list[str], like: str) -> str:
    """Words as an identifier in the manner of `like`: Pascal, UPPER, camel or snake."""
    if like[:1].isupper() and not like.isupper():
        return "".join(part.capitalize() for part in parts)
    if like.isupper() and len(like) > 1:
        return "_".join(parts).upper()
    if re.match(r"[a-z]+[A-Z]", like):
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    return "_".join(parts)


def derived(rng: random.Random, old: str) -> str:
    """A name that shares words with an old one."""
    parts = parts_of(old) or [word(rng)]
    place, roll = rng.randrange(len(parts)), rng.random()
    if roll < 0.45:
        parts[place] = word(rng)
    elif roll < 0.75:
        parts.insert(rng.randint(0, len(parts)), word(rng))
    elif roll < 0.87 and len(parts) > 1:
        parts.pop(place)
    else:
        parts.append(rng.choice(("2", "v2", "all", "one", "new", "async", "safe", "impl")))
    return spelled(parts, old)


def made_up(rng: random.Random, like: str) -> str:
    """A name that has nothing to do with an old one but its manner, mostly."""
    name = spelled([word(rng) for _ in range(rng.choice((1, 1, 2, 2, 2, 2, 3, 3, 4)))], like)
    roll = rng.random()
    if not like[:1].isupper():
        if roll < 0.10:
            name = spelled([word(rng) for _ in range(rng.randint(2, 3))], "aB")
        elif roll < 0.16:
            name = "_" + name
    if 0.16 <= roll < 0.22:
        name += rng.choice(("1", "2", "3", "64", "_2", "10"))
    return name


def new_name(rng: random.Random, old: str) -> str:
    """What `old` may be renamed to; an identifier, no keyword."""
    while True:
        name = derived(rng, old) if rng.random() < 0.3 else made_up(rng, old)
        if name.isidentifier() and not keyword.iskeyword(name):
            return name
