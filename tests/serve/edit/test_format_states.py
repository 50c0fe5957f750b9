"""The contract of the states in every format: masks, drafts, retreats, budgets; rules; the final gate."""

from __future__ import annotations

import random

import pytest
from byte_pairs import spelled, vocabulary
from driver import masked
from formats import NAMES, compiled, favourites, landed
from samples import FILES
from test_constraint import _after, _starts_alike

from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.types import EditFormat, SourceFile

CLASS = SourceFile("a.py", "x = 1\n\n\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n")


@pytest.mark.parametrize(
    "path", ["plain.py", "crlf.py", "open.py", "rule.py", "empty.py", "equal.py", "names.py", "notes.txt"]
)
@pytest.mark.parametrize("name", NAMES)
def test_masks_hold_what_is_allowed_and_drafts_are_allowed(name: EditFormat, path: str) -> None:
    chance = random.Random(path)
    state, count = compiled(name, [FILES[path]], operations=FORMATS[name].operations)[0], 0
    ends = favourites(name)
    for _ in range(120):
        allowed = set(masked(state, vocabulary()))
        probes = [*chance.sample(range(len(vocabulary())), 60), *ends]
        accepted = [token for token in probes if state.allows(token)]
        assert set(accepted) <= allowed, [vocabulary().spelling(token) for token in set(accepted) - allowed]
        draft = state.draft(chance.choice([1, 5, 40]))
        assert 0 <= draft.forced <= len(draft.tokens)
        ahead = state
        for index, token in enumerate(draft.tokens):
            assert ahead.allows(token)
            if index < draft.forced:
                assert not ahead.may_end()
                _starts_alike(ahead, spelled(list(draft.tokens[index : draft.forced])))
            ahead = ahead.advance(token)
        settled = state.settled()
        assert settled is not None
        assert settled <= count
        assert not state.may_end() or settled == count
        retreat = state.retreat()
        assert (retreat is None) == state.may_end()
        if retreat is not None:
            assert settled <= retreat.keep <= count
        choices = list(draft.tokens[:1]) * 20 + accepted or sorted(allowed)
        if not choices:
            break
        token = chance.choice(choices)
        if state.allows(token):
            state, count = state.advance(token), count + 1


TWO_HALVES: dict[EditFormat, tuple[str, str]] = {
    "blocks": (
        "a.py\n<<<<<<< SEARCH\nx = 1\n=======\nx = (1,\n>>>>>>> REPLACE\n",
        "a.py\n<<<<<<< SEARCH\ndef f():\n    return 1\n=======\n)\n>>>>>>> REPLACE\n",
    ),
    "apply_patch": (
        "*** Begin Patch\n*** Update File: a.py\n@@\n-x = 1\n+x = (1,\n",
        "@@\n-def f():\n-    return 1\n+)\n*** End Patch\n",
    ),
    "unified_diff": (
        "```diff\ndiff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ @@\n-x = 1\n+x = (1,\n",
        "@@ @@\n-def f():\n-    return 1\n+)\n```\n",
    ),
    "str_replace": (
        '{"file_path": "a.py", "old_string": "x = 1\\n", "new_string": "x = (1,\\n"}\n',
        '{"file_path": "a.py", "old_string": "def f():\\n    return 1\\n", "new_string": ")\\n"}\n',
    ),
}


def _bytewise(text: str, state):  # type: ignore[no-untyped-def]
    """The state after ``text``, byte by byte; None if a byte is refused."""
    for byte in text.encode():
        token = vocabulary().prefixes[bytes([byte])][0]
        if not state.allows(token):
            return None
        state = state.advance(token)
    return state


@pytest.mark.parametrize("name", list(TWO_HALVES))
def test_the_final_gate_waits_for_the_last_edit(name: EditFormat) -> None:
    first, second = TWO_HALVES[name]
    assert _bytewise(first + second, compiled(name, [CLASS])[0]) is None
    state = _bytewise(first, compiled(name, [CLASS], syntax="final")[0])
    assert state is not None
    assert state.settled() == 0
    assert not state.may_end()
    whole = _bytewise(second, state)
    assert whole is not None
    assert whole.may_end()
    assert _bytewise(first, compiled(name, [CLASS], syntax="off")[0]) is not None


MARKED = SourceFile("a.py", "a = 1\n# dovetail: protected begin\nb = 2\nc = 3\n# dovetail: protected end\nd = 4\n")
QUOTED: dict[EditFormat, str] = {
    "blocks": "a.py\n<<<<<<< SEARCH\n{0}\n",
    "apply_patch": "*** Begin Patch\n*** Update File: a.py\n@@\n-{0}\n",
    "unified_diff": "```diff\ndiff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ @@\n-{0}\n",
    "str_replace": '{{"file_path": "a.py", "old_string": "{0}\\n',
}


@pytest.mark.parametrize("name", list(QUOTED))
def test_protected_lines_cannot_be_quoted(name: EditFormat) -> None:
    for line, fine in (("a = 1", True), ("b = 2", False), ("# dovetail: protected end", False), ("d = 4", True)):
        text = QUOTED[name].format(line)
        assert (_bytewise(text, compiled(name, [MARKED])[0]) is not None) == fine
        assert _bytewise(text, compiled(name, [MARKED], protected=(("a.py", 1, 6),))[0]) is None
    inside = '{"file_path": "a.py", "insert_line": 3,'
    assert name != "str_replace" or _bytewise(inside, compiled(name, [MARKED])[0]) is None


def test_a_whole_file_keeps_its_protected_lines() -> None:
    state, _ = compiled("whole_file", [MARKED])
    kept = MARKED.content.replace("a = 1", "a = 5")
    assert _bytewise(f"a.py\n```\n{kept}```\n", state) is not None
    assert _bytewise(f"a.py\n```\n{kept.replace('b = 2', 'b = 3')}```\n", state) is None


def test_an_anchor_line_puts_the_hunk_behind_it() -> None:
    state, _ = compiled("apply_patch", [CLASS])
    head = "*** Begin Patch\n*** Update File: a.py\n@@ def g():\n"
    assert _bytewise(head + "-    return 2\n+    return 3\n*** End Patch\n", state) is not None
    assert _bytewise(head + "-    return 1\n", state) is None
    assert _bytewise("*** Begin Patch\n*** Update File: a.py\n@@ def h", state) is None


def test_hunks_come_in_order() -> None:
    state, _ = compiled("apply_patch", [CLASS])
    first = "*** Begin Patch\n*** Update File: a.py\n@@\n-    return 1\n+    return 3\n"
    assert _bytewise(first + "@@\n-    return 2\n+    return 4\n*** End Patch", state) is not None
    assert _bytewise(first + "@@\n-x = 1\n", state) is None


def test_a_json_string_takes_every_escape_that_a_file_may_hold() -> None:
    state = compiled("str_replace", [FILES["notes.txt"]])[0]
    state = _bytewise('{"file_path": "notes.txt", "old_string": "free text\\n", "new_string": "', state)
    for text, fine in (
        ('\\u00e9\\\\\\"\\/\\t\\n', True),
        ("\\u0000", False),
        ("\\ud83d", False),
        ("\\x", False),
        ("\n", False),
    ):
        assert (_bytewise(text + '"}\n' if fine else text, state) is not None) == fine


def test_a_draft_follows_the_deleted_lines() -> None:
    state = compiled("apply_patch", [CLASS])[0]
    state = _after("*** Begin Patch\n*** Update File: a.py\n@@\n-def f():\n-    return 1\n", state)
    assert spelled(list(state.draft(20).tokens)).startswith(b"+def f():\n+    return 1\n")


def test_what_is_put_before_a_marked_first_line_goes_behind_the_mark_and_leaves_the_line_alone() -> None:
    file = SourceFile("a.py", "\ufeffx = 1\ny = 2\n")
    first = '{"file_path": "a.py", "old_string": "\ufeffx = 1\\n", "new_string": "x = 3\\n"}\n'
    second = '{"file_path": "a.py", "old_string": "y = 2\\n", "new_string": "y = 3\\n"}\n'
    above = '{"file_path": "a.py", "insert_line": 0, "new_string": "import z\\n"}\n'
    for text, fine in ((first + second, True), (second + above, True), (first + above, False), (above + first, False)):
        state, markers = compiled("str_replace", [file])
        assert (_bytewise(text, state) is not None) == fine, text
        if fine:
            landed("str_replace", text.encode(), [file], markers)
