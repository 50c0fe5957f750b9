"""New text under the recogniser: what it refuses has no way on, what is true passes, what is damaged is found early."""

from __future__ import annotations

import random

import pytest
from byte_pairs import vocabulary
from formats import NAMES, compiled
from samples import FILES, errors
from snippets import SOURCES
from test_true_edits import _passed, _random_tokens

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.constrain.syntax.languages import _SUFFIXES, LANGUAGES
from dovetail.serve.edit.block import Edits, block_at
from dovetail.serve.edit.constraint import EditConstraint
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.formats.unified_diff.render import render_numberless
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.watch import Watch
from dovetail.serve.types import EditFormat, Markers, SourceFile

CLOSERS = (
    ")",
    "]",
    "}",
    ";",
    '"',
    "'",
    '"""',
    "*/",
    "`",
    "\n",
    "x",
    " = 1",
    ":\n    pass\n",
    "end",
    ">",
    "fi\n",
    "done\n",
)


def source(language: str) -> SourceFile:
    """A file that parses, of several of the language's snippets."""
    path = "a" + _SUFFIXES[language][0]
    kept = ""
    for text in SOURCES[language]:
        joined = kept + text if text.endswith("\n") else kept + text + "\n"
        if not SyntaxGate(path, joined.encode()).faulty:
            kept = joined
    return SourceFile(path, kept)


def written(name: EditFormat, file: SourceFile, start: int, end: int, text: str, markers: Markers) -> str:
    """An edit as a model writes it."""
    edits = Edits((block_at(file.path, file.content, start, end, text),))
    return render_numberless([file], edits) if name == "unified_diff" else FORMATS[name].render([file], edits, markers)


def quotable(file: SourceFile, chance: random.Random) -> tuple[int, int]:
    """Whole lines that are there once."""
    lines = [line + "\n" for line in file.content.removesuffix("\n").split("\n")]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    first = chance.randrange(len(lines))
    last = first + 1
    while last < len(lines) and (
        last - first < 4 or file.content.count(file.content[starts[first] : starts[last]]) > 1
    ):
        last += 1
    while first and file.content.count(file.content[starts[first] : starts[last]]) > 1:
        first -= 1
    return starts[first], min(starts[last], len(file.content))


@pytest.mark.parametrize("language", LANGUAGES)
def test_true_text_passes_in_every_language_and_format(language: str) -> None:
    file = source(language)
    chance = random.Random(language)
    for name in NAMES:
        state, markers = compiled(name, [file])
        for _ in range(2):
            start, end = quotable(file, chance)
            kept = file.content[start:end]
            text = written(name, file, start, end, kept + kept[:0], markers)
            if not text:
                continue
            tokens = vocabulary().encode(text)
            count, behind = _passed(state, tokens)
            assert count == len(tokens), (name, text, vocabulary().spelling(tokens[count]))
            assert behind.may_end()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_refused_has_no_way_on(language: str) -> None:
    """Differential: whatever is tried behind a refused token, tree-sitter never takes the file."""
    file = source(language)
    raw, gate = file.content.encode(), SyntaxGate(file.path, file.content.encode())
    chance = random.Random(language)
    state, markers = compiled("blocks", [file])
    lines = [line + "\n" for line in file.content.split("\n")]
    refused = 0
    for _ in range(14):
        start, end = quotable(file, chance)
        head = f"{file.path}\n{markers.search}\n{file.content[start:end]}{markers.divider}\n"
        inner = vocabulary().encode(file.content[start:end])
        cut = chance.randrange(len(inner))
        count, at = _passed(state, [*vocabulary().encode(head), *inner[:cut]])
        assert count == len(vocabulary().encode(head)) + cut
        before = b"".join(vocabulary().spelling(token) or b"" for token in inner[:cut])
        first, last = len(file.content[:start].encode()), len(file.content[:end].encode())
        for token in chance.sample(range(len(vocabulary())), 12):
            spelling = vocabulary().spelling(token) or b""
            if not spelling or b"\r" in spelling or not _is_text(before + spelling):
                continue  # A carriage return is refused where the file has none, whatever its language thinks of it.
            if markers.replace[:3].encode() in spelling:
                continue
            if at.allows(token):
                continue
            refused += 1
            rest = (raw[first:last][len(before) :]).decode(errors="ignore")
            for ending in [rest, "\n", *("".join(chance.choices([*CLOSERS, *lines], k=4)) for _ in range(12))]:
                text = before + spelling + ending.encode()
                assert not gate.holds([Change(first, last, text)]), (spelling, ending)
    assert refused or language in ("yaml", "html", "php", "bash", "css", "toml")


def _is_text(data: bytes) -> bool:
    try:
        return not any(character < " " and character not in "\t\n\r\f" for character in data.decode())
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_found_no_later_than_the_gate_and_mostly_before(name: EditFormat) -> None:
    chance = random.Random(name)
    early = refused = 0
    for language in ("python", "go", "typescript", "rust", "java"):
        file = source(language)
        state, markers = compiled(name, [file])
        for _ in range(6):
            start, end = quotable(file, chance)
            text = written(name, file, start, end, file.content[start:end].replace("a", "b", 1), markers)
            if not text:
                continue
            tokens = _random_tokens(text.encode(), chance) if name not in ("apply_patch", "unified_diff") else []
            tokens = tokens or vocabulary().encode(text)
            place = chance.randrange(len(tokens) // 2, len(tokens))
            other = chance.choice(tokens if chance.random() < 0.5 else range(len(vocabulary())))
            damaged = [*tokens[:place], other, *tokens[place + 1 :]]
            count, behind = _passed(state, damaged)
            if count == len(damaged) and behind.may_end():
                _check_sound(behind, file)
                continue
            refused += 1
            early += count < len(damaged) - 3
    assert refused
    assert early


def _check_sound(state: Constraint, file: SourceFile) -> None:
    assert isinstance(state, EditConstraint)
    content = file.content.encode()
    for change in reversed(state.zone.ledger.changes(0)):
        content = content[: change.start] + change.replacement + content[change.end :]
    assert errors(file.path, content) == 0


HEAD = "a.py\n<<<<<<< SEARCH\nx = 1\n=======\n"


@pytest.mark.parametrize(
    ("content", "syntax", "refused"),
    [
        ("x = 1\n", "each", True),
        ("x = 1\n", "final", False),
        ("x = 1\n", "off", False),
        ("x = 1\ny = (\n", "each", False),
    ],
)
def test_when_the_recogniser_has_a_say(content: str, syntax: str, refused: bool) -> None:
    state, _ = compiled("blocks", [SourceFile("a.py", content)], syntax=syntax)  # type: ignore[arg-type]
    tokens = vocabulary().encode(HEAD + "y = ) 2\n")
    assert (_passed(state, tokens)[0] < len(tokens)) == refused


def test_half_a_character_that_nothing_completes_is_refused() -> None:
    state, _ = compiled("blocks", [SourceFile("a.json", '{"a": 1}\n')])
    _, at = _passed(state, vocabulary().encode('a.json\n<<<<<<< SEARCH\n{"a": 1}\n=======\n{"a": '))
    leads = [vocabulary().prefixes[bytes([byte])][0] for byte in (0xC3, 0xCA)]
    assert not any(at.allows(lead) for lead in leads)  # Outside strings, JSON has no such character.
    count, inside = _passed(at, vocabulary().encode('"x'))
    assert count
    assert all(inside.allows(lead) for lead in leads)


class NoEval:
    """A watch: the word ``eval`` does not come into new text."""

    def __init__(self, tail: bytes = b"") -> None:
        self.tail = tail

    def feed(self, data: bytes, new: bool) -> Watch | None:
        text = self.tail + data
        return None if new and b"eval" in text else NoEval(text[-3:])

    def may_end(self) -> bool:
        return not self.tail.endswith(b"!\n")


@pytest.mark.parametrize("name", NAMES)
def test_another_watch_sees_the_same_text(name: EditFormat) -> None:
    file = SourceFile("a.txt", "one\ntwo eval\nthree\n")
    state, markers = compiled(name, [file])
    assert isinstance(state, EditConstraint)
    state.plan.openings = (lambda ledger, target, start: NoEval(),)
    chance = random.Random(name)
    for text, passes in (("two\n", True), ("two eval\nx\n", True), ("x eval\n", False), ("x!\n", False)):
        edit = written(name, file, 4, 13, text, markers)
        whole = name in ("whole_file", "blocks", "str_replace")
        if whole and "two eval" in text:
            passes = False  # There it is new text; a hunk keeps the line.
        tokens = vocabulary().encode(edit) if not whole else _random_tokens(edit.encode(), chance)
        if name == "whole_file" and "!" in text:
            continue  # It does not end there.
        count, behind = _passed(state, tokens)
        assert (count == len(tokens) and behind.may_end()) == passes, edit


def test_a_place_hardly_wanted_is_barred_for_one_edit() -> None:
    file = SourceFile("a.txt", "one\ntwo\nthree\n")
    state, _ = compiled("blocks", [file])
    head = vocabulary().encode("a.txt\n<<<<<<< SEARCH\n")
    line = vocabulary().encode("two\n")
    _, at = _passed(state, [*head, *line])
    assert isinstance(at, EditConstraint)
    assert at.chosen() == (len(head), len(head) + len(line))
    retreat = at.reconsider()
    assert retreat is not None
    assert retreat.keep == 0
    again = retreat.state
    assert _passed(again, [*head, *line])[0] < len(head) + len(line)
    elsewhere = vocabulary().encode("a.txt\n<<<<<<< SEARCH\none\n")
    _, second = _passed(again, elsewhere)
    assert isinstance(second, EditConstraint)
    assert second.chosen() is not None
    assert second.reconsider() is None
    _, done = _passed(second, vocabulary().encode("=======\n1\n>>>>>>> REPLACE\n"))
    assert done.may_end()
    assert _passed(done, [*head, *line])[0] == len(head) + len(line)


def test_where_nothing_else_could_be_quoted_no_place_is_barred() -> None:
    state, _ = compiled("blocks", [SourceFile("a.txt", "one\n")])
    _, at = _passed(state, vocabulary().encode("a.txt\n<<<<<<< SEARCH\none\n"))
    assert isinstance(at, EditConstraint)
    assert at.chosen() is not None
    assert at.reconsider() is None


def test_filling_an_empty_file_chooses_no_place() -> None:
    state, _ = compiled("blocks", [SourceFile("a.txt", "")])
    _, at = _passed(state, vocabulary().encode("a.txt\n<<<<<<< SEARCH\n=======\nx\n"))
    assert isinstance(at, EditConstraint)
    assert at.chosen() is None


@pytest.mark.parametrize("name", NAMES)
def test_a_choice_is_the_first_quoted_line_in_every_format(name: EditFormat) -> None:
    file = SourceFile("a.txt", "one\ntwo\nthree\nfour\n")
    state, markers = compiled(name, [file])
    edit = written(name, file, 4, 14, "two\n3\n", markers)
    choices: set[tuple[int, int]] = set()
    for token in vocabulary().encode(edit):
        assert state.allows(token)
        state = state.advance(token)
        assert isinstance(state, EditConstraint)
        chosen = state.chosen()
        choices |= {chosen} if chosen else set()
    if name == "whole_file":
        assert not choices  # It quotes nothing.
        return
    (chosen,) = choices
    tokens = vocabulary().encode(edit)[slice(*chosen)]
    text = b"".join(vocabulary().spelling(token) or b"" for token in tokens)
    assert b"one" in text or b"two" in text
    assert b"three" not in text


@pytest.mark.parametrize("path", sorted(FILES))
def test_every_start_of_a_ledger_agrees_with_the_gate(path: str) -> None:
    """The recogniser's view of a file already edited is that of the text it has become."""
    file = FILES[path]
    state, markers = compiled("blocks", [file])
    assert isinstance(state, EditConstraint)
    target = state.plan.targets[0]
    if target.checkpoints is None or not file.content:
        return
    chance = random.Random(path)
    start, end = quotable(file, chance)
    edit = written("blocks", file, start, end, file.content[start:end] * (1 + (path == "equal.py")), markers)
    _, behind = _passed(state, vocabulary().encode(edit))
    assert isinstance(behind, EditConstraint)
    ledger: Ledger = behind.zone.ledger
    checkpoints = ledger.checkpoints(0)
    assert checkpoints is not None
    assert checkpoints.before(len(checkpoints.text)).accepts()
    assert choose_markers([file]) == markers
