"""The roles of classes, by what their names end in, where they lie, and what they derive from; errors among them."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator

from dovetail.agent.repo.facts import CONTAINERS, FileFacts, Symbol
from dovetail.agent.repo.patterns.convention import CLEAR, ENOUGH, Convention
from dovetail.agent.repo.text import printable, words_of

_FEW = 3
_MOST_SHOWN = 8
_ERRORS = {"error", "exception", "problem", "failure", "err"}
_MEANINGLESS = {"base", "protocol", "type", "object"}


def roles(files: Iterable[FileFacts]) -> Iterator[Convention]:
    """Suffixes that several classes share, with the folder or file they mostly lie in, and an example."""
    classes = _classes(files)
    by_suffix: dict[str, list[Symbol]] = {}
    for symbol in classes:
        words = words_of(symbol.name)
        if len(words) > 1 and words[-1] not in _MEANINGLESS and not words[-1].isdigit():
            by_suffix.setdefault(words[-1], []).append(symbol)
    shared = sorted(by_suffix.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    for suffix, symbols in shared[:_MOST_SHOWN]:
        if len(symbols) < _FEW:
            continue
        where = _mostly(Counter(posixpath.dirname(symbol.path) + "/" for symbol in symbols))
        example = min(symbols, key=lambda symbol: (not symbol.exported, symbol.path, symbol.line))
        text = f"classes named …{suffix.capitalize()}{where}, such as {printable(example.signature)}"
        yield Convention("roles", f"{text} in {printable(example.path)}", len(symbols), len(classes))


def bases(files: Iterable[FileFacts]) -> Iterator[Convention]:
    """The base classes that several classes derive from."""
    files = list(files)
    total = len(_classes(files))
    counted: Counter[str] = Counter()
    for facts in files:
        for name, uses in facts.uses.items():
            counted[name] += sum(kind == 1 for kind, _, _, _ in uses)
    for name, count in sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))[:_MOST_SHOWN]:
        if count >= _FEW:
            yield Convention("base classes", f"classes derive from {printable(name)}", count, total)


def errors(files: Iterable[FileFacts]) -> Iterator[Convention]:
    """Where the project's own error classes lie."""
    found = [
        symbol for symbol in _classes(files) if words_of(symbol.name)[-1:] and words_of(symbol.name)[-1] in _ERRORS
    ]
    if len(found) < _FEW:
        return
    where, count = Counter(symbol.path for symbol in found).most_common(1)[0]
    named = ", ".join(printable(symbol.name) for symbol in sorted(found)[:5])
    place = f"; most in {printable(where)}" if count >= CLEAR * len(found) else ""
    yield Convention("errors", f"own error classes: {named}{place}", count if place else len(found), len(found))


def _classes(files: Iterable[FileFacts]) -> list[Symbol]:
    kinds = CONTAINERS - {"namespace"}
    return [symbol for facts in files for symbol in facts.definitions if symbol.kind in kinds]


def _mostly(places: Counter[str]) -> str:
    place, count = max(sorted(places.items()), key=lambda entry: entry[1])
    return (
        f", mostly in {printable(place)}"
        if count >= CLEAR * sum(places.values()) and sum(places.values()) >= ENOUGH
        else ""
    )
