"""How much each file and name has to do with what a task is about: its words, names and paths."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dovetail.agent.repo.facts import FileFacts
from dovetail.agent.repo.text import words_of

_TERM = re.compile(r"[\w$@./\\:-]*[\w$]")
_STOP = frozenset(
    [
        "the",
        "and",
        "for",
        "with",
        "that",
        "this",
        "from",
        "into",
        "are",
        "was",
        "not",
        "but",
        "all",
        "any",
        "can",
        "has",
        "have",
        "its",
        "use",
        "used",
        "when",
        "where",
        "which",
        "what",
        "who",
        "how",
        "should",
        "must",
        "may",
        "will",
        "would",
        "than",
        "then",
        "them",
        "they",
        "there",
        "here",
        "out",
        "one",
        "two",
        "new",
        "old",
        "add",
        "get",
        "set",
        "make",
        "does",
        "done",
        "only",
        "also",
        "change",
        "rename",
        "fix",
        "please",
        "file",
        "files",
        "code",
        "line",
        "lines",
        "name",
        "names",
    ]
)
_PATH_WEIGHT = 8.0
_NAME_WEIGHT = 4.0


@dataclass
class Focus:
    """Weights of files and of names; empty where nothing was asked for or nothing fits."""

    files: dict[str, float] = field(default_factory=dict)
    names: dict[str, float] = field(default_factory=dict)


def focus_on(files: Mapping[str, FileFacts], defined: Mapping[str, set[str]], asked: Sequence[str]) -> Focus:
    """Weigh paths as they are named, definitions by their names, and both by the words they are made of."""
    made = Focus()
    terms = [term for text in asked for term in (_TERM.findall(text) or [text])]
    if not terms:
        return made
    words: Counter[str] = Counter()
    for term in dict.fromkeys([*asked, *terms]):
        for path in _named_paths(files, term):
            made.files[path] = made.files.get(path, 0.0) + _PATH_WEIGHT
        last = re.split(r"[.:/\\]", term)[-1]
        for name in {term, last} & defined.keys():
            made.names[name] = _NAME_WEIGHT
            for path in defined[name]:
                made.files[path] = made.files.get(path, 0.0) + _NAME_WEIGHT / len(defined[name])
    for term in terms:
        words.update(word for word in words_of(term) if len(word) > 2 and word not in _STOP)
    _weigh_words(files, defined, set(words), made)
    return made


def _named_paths(files: Mapping[str, FileFacts], term: str) -> list[str]:
    """The file or folder of that path; else files whose path ends so."""
    term = term.removeprefix("./").rstrip("/")
    if term in files:
        return [term]
    if not term or not re.search(r"[./]", term):
        return []
    below = [path for path in files if path.startswith(term + "/")]
    return below or [path for path in files if path.endswith("/" + term)]


def _weigh_words(files: Mapping[str, FileFacts], defined: Mapping[str, set[str]], words: set[str], made: Focus) -> None:
    """Rare words weigh more; the square keeps files that hold several of them ahead."""
    if not words:
        return
    held: dict[str, dict[str, float]] = {word: {} for word in words}
    for path in files:
        for word in words.intersection(words_of(path)):
            held[word][path] = 2.0
    for name, paths in defined.items():
        for word in words.intersection(words_of(name)):
            for path in paths:
                held[word][path] = min(4.0, held[word].get(path, 0.0) + 1.0)
    rarity = {word: math.log(1 + len(files) / (1 + len(paths))) for word, paths in held.items()}
    scores: dict[str, float] = {}
    for word in sorted(words):
        for path, amount in held[word].items():
            scores[path] = scores.get(path, 0.0) + rarity[word] * math.sqrt(amount)
    best = max(scores.values(), default=0.0)
    for path, score in scores.items():
        made.files[path] = made.files.get(path, 0.0) + _NAME_WEIGHT * (score / best) ** 2
    for name in defined:
        hits = sorted(words.intersection(words_of(name)))
        if hits:
            share = sum(rarity[word] for word in hits) / max(sum(rarity.values()), 1e-9)
            made.names[name] = max(made.names.get(name, 0.0), _NAME_WEIGHT / 2 * share)
