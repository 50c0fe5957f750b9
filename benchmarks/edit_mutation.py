"""Does a wrong token ever get through? True edits in every format with one token replaced, inserted or deleted.

Each corrupted output is put through the constraint token by token. It must be refused no later than the gate (or be left
unfinished, and so dropped), or be another valid edit: then a reader of its own (edit_readers.py), that shares no code with
the server, must come to the same files, and they must parse. What is neither is an escape.

    python benchmarks/edit_mutation.py --mutations 5000
    python benchmarks/edit_mutation.py --mutations 5000 --data FILE.jsonl.gz      (fields path, before, after)

Edits of which a part does not parse by itself (``only_together``) are held to the final gate, all others to the gate of each.
The last line is one JSON object: mutations, refused, valid, escapes, true_refused, by_format, by_language (and more).
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from edit_checker import SUFFIXES, parses
from edit_readers import NotAnEdit, result_of
from nasty_files import SOURCES
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dovetail.models.embedded import WEIGHTS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.edits.report import GuaranteeViolated, land
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.block import Block, Edits, block_at
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.formats.unified_diff.render import render_numberless
from dovetail.serve.edit.formats.whole_file.fence import choose_fence
from dovetail.serve.types import EditFormat, EditSpec, SourceFile

NAMES: tuple[EditFormat, ...] = ("blocks", "apply_patch", "unified_diff", "whole_file", "str_replace")
LONGEST = 400
"""Tokens of the longest output that is corrupted."""
PER_EDIT = 8


class Written(NamedTuple):
    """A true edit in one format."""

    spec: EditSpec
    text: str
    tokens: list[int]
    language: str


def synthetic(rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Path, content before and after: small changes of the sources that still parse, without end."""
    while True:
        language, (path, content) = rng.choice(list(SOURCES.items()))
        lines = content.splitlines(keepends=True)
        first = rng.randrange(len(lines))
        last = min(len(lines), first + rng.choice([0, 1, 1, 2, 4]))
        old = lines[first:last]
        kept = [line for line in old if rng.random() < 0.7]
        words = [word for word in "".join(old).split() if word.isidentifier() and len(word) > 2]
        name = rng.choice(words) if words else ""
        renamed = [line.replace(name, name + "2") if name else line for line in old]
        new = rng.choice([kept, renamed, [*old, *rng.sample(lines, 1)], [line for line in old for _ in range(2)]])
        after = "".join([*lines[:first], *new, *lines[last:]])
        if after not in ("", content) and parses(language, content) and parses(language, after):
            yield path, content, after


def recorded(file: Path, rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """The same from a file of real edits, in random order, without end."""
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as stream:
        rows = [json.loads(line) for line in stream]
    while True:
        row = rng.choice(rows)
        language = SUFFIXES.get(Path(row["path"]).suffix, "off")
        if parses(language, row["before"]) and parses(language, row["after"]):
            yield row["path"], row["before"], row["after"]


def blocks_between(path: str, before: str, after: str) -> tuple[Block, ...]:
    """The change as blocks of whole lines; some are insertions."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return tuple(block_at(path, before, starts[a], starts[b], "".join(new[c:d])) for _, a, b, c, d in changes)


def write(name: EditFormat, change: tuple[str, str, str], vocabulary: Vocabulary) -> Written | None:
    """The change in a format; None where it is too long, or the format has no words for it."""
    path, before, after = change
    files = (SourceFile(path, before),)
    markers = choose_markers(files)
    edits = Edits(blocks_between(path, before, after))
    whole = name == "unified_diff"
    text = render_numberless(files, edits) if whole else FORMATS[name].render(files, edits, markers)
    if "\r" in before or choose_fence([*files, SourceFile(path, after)]) != choose_fence(files):
        return None
    tokens = vocabulary.encode(text)
    if not 0 < len(tokens) <= LONGEST:
        return None
    spec = EditSpec(files=files, markers=markers, format=name, line_ends="own")
    return Written(spec, text, tokens, SUFFIXES.get(Path(path).suffix, "off"))


def passed(spec: EditSpec, tokens: list[int], vocabulary: Vocabulary) -> tuple[int, Constraint]:
    """How many of the tokens are allowed, one after the other, and the state behind them."""
    state = compile_edit(spec, vocabulary)
    for index, token in enumerate(tokens):
        if not state.allows(token):
            return index, state
        state = state.advance(token)
    return len(tokens), state


def corrupted(tokens: list[int], size: int, rng: random.Random) -> tuple[list[int], int]:
    """The tokens with one replaced, inserted or deleted, and where: by any token, or by one of the output's own."""
    place = rng.randrange(len(tokens))
    other = rng.choice([rng.randrange(size), rng.choice(tokens), rng.choice(tokens)])
    kind = rng.randrange(3)
    middle = ([other], [other, tokens[place]], [])[kind]
    return [*tokens[:place], *middle, *tokens[place + 1 :]], place


def judged(written: Written, tokens: list[int], place: int, vocabulary: Vocabulary) -> str:
    """What becomes of a corrupted output."""
    count, state = passed(written.spec, tokens, vocabulary)
    if count < place:
        return "true token refused"
    if count < len(tokens):
        return "refused at once" if count == place else "refused later"
    if not state.may_end():
        return "left unfinished"
    data = b"".join(vocabulary.spelling(token) or b"" for token in tokens)
    files = {file.path: file.content for file in written.spec.files}
    markers = written.spec.markers
    try:
        text = data.decode()
        fence = choose_fence(written.spec.files)
        after = result_of(written.spec.format, text, files, (markers.search, markers.divider, markers.replace), fence)
        landed = land(text, written.spec)
    except (NotAnEdit, UnicodeDecodeError, GuaranteeViolated) as error:
        return f"escape: {error}"
    changed = {path: content for path, content in after.items() if content != files[path]}
    if changed != {file.path: file.content for file in landed.changed}:
        return "escape: read otherwise by others"
    for path, content in changed.items():
        if not parses(SUFFIXES.get(Path(path).suffix, "off"), content):
            return "escape: does not parse"
    return "another valid edit"


class Tally:
    """What was seen so far."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.by_format: Counter[str] = Counter()
        self.by_language: Counter[str] = Counter()
        self.true_edits = self.true_refused = self.only_together = 0

    def held(self, written: Written, vocabulary: Vocabulary) -> Written | None:
        """The true edit under the gate that it passes; None if it passes none."""
        self.true_edits += 1
        for gate in ("each", "final"):  # Two of its blocks may parse only together.
            written = written._replace(spec=msgspec.structs.replace(written.spec, syntax=gate))
            count, state = passed(written.spec, written.tokens, vocabulary)
            if count == len(written.tokens) and state.may_end():
                self.only_together += gate == "final"
                return written
        self.true_refused += 1
        print(f"a true edit was refused at token {count}:\n{written.text}", file=sys.stderr)
        return None

    def take(self, written: Written, outcome: str) -> None:
        """Count one corruption."""
        self.outcomes[outcome] += 1
        self.by_format[written.spec.format] += 1
        self.by_language[written.language] += 1

    def report(self) -> dict[str, object]:
        """The figures."""
        refused = sum(self.outcomes[kind] for kind in ("refused at once", "refused later", "left unfinished"))
        escapes = sum(number for outcome, number in self.outcomes.items() if outcome.startswith("escape"))
        return {
            "mutations": self.outcomes.total(),
            "refused": refused,
            "valid": self.outcomes["another valid edit"] + self.outcomes["the same output"],
            "escapes": escapes,
            "true_edits": self.true_edits,
            "only_together": self.only_together,
            "true_refused": self.true_refused + self.outcomes["true token refused"],
            "outcomes": dict(self.outcomes),
            "by_format": dict(self.by_format),
            "by_language": dict(sorted(self.by_language.items())),
        }


def mutate(wanted: int, rng: random.Random, changes: Iterator[tuple[str, str, str]], vocabulary: Vocabulary) -> Tally:
    """Corrupt true edits, the formats in turn, ``wanted`` times."""
    tally = Tally()
    bar = iter(track(range(wanted), console=Console(stderr=True)))
    while tally.outcomes.total() < wanted:
        written = write(NAMES[tally.true_edits % len(NAMES)], next(changes), vocabulary)
        held = tally.held(written, vocabulary) if written is not None else None
        if held is None:
            continue
        for _ in range(min(PER_EDIT, wanted - tally.outcomes.total())):
            next(bar)
            tokens, place = corrupted(held.tokens, len(vocabulary), rng)
            outcome = "the same output" if tokens == held.tokens else judged(held, tokens, place, vocabulary)
            tally.take(held, outcome)
            if outcome.startswith(("escape", "true")):
                text = b"".join(vocabulary.spelling(token) or b"" for token in tokens)
                print(f"{outcome}: {text!r}\nof {held.text!r}", file=sys.stderr)
    return tally


def main() -> int:
    """Parse arguments, run, print a table and the JSON line; status 1 when a corruption escaped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tokenizer = Tokenizer.load(WEIGHTS)
    vocabulary = Vocabulary([tokenizer.token_bytes(token) for token in range(tokenizer.size)], tokenizer.encode)
    changes = recorded(options.data, rng) if options.data else synthetic(rng)
    start = time.monotonic()
    tally = mutate(options.mutations, rng, changes, vocabulary)
    seconds = time.monotonic() - start
    table = Table("outcome", "mutations", title=f"{tally.true_edits} true edits")
    for outcome, number in tally.outcomes.most_common():
        table.add_row(outcome, str(number))
    Console().print(table)
    report = tally.report()
    print(json.dumps({"benchmark": "edit_mutation", **report, "seed": options.seed, "seconds": round(seconds, 1)}))
    return 1 if report["escapes"] or report["true_refused"] else 0


if __name__ == "__main__":
    sys.exit(main())
