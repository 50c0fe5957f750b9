"""Calls of edit tools under a policy: paths, protected lines and new text, while a call is written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from babble import calls_in, carrier, edit_tool, mask_of, walk
from byte_pairs import vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from offered import Offered
from shapes import FAMILIES

from dovetail.models.dialects.hermes import Hermes
from dovetail.serve.constrain.base import Constraint, Vetoing
from dovetail.serve.constrain.syntax.gates import LOCAL_GATES
from dovetail.serve.edit.carrier.compile import compile_carrier
from dovetail.serve.edit.carrier.ruling import Project
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.types import CarrierSpec, CarrierTool, KnownFile

MARKED = "a = 1\n# dovetail: protected begin\nb = 2\n# dovetail: protected end\nc = 3\nb = 2\nd = 4\n"
FILES = [
    KnownFile("/w/src/a.py", ("import os\n\n\ndef f(x):\n    return g(x)\n",), True),
    KnownFile("/w/marked.py", (MARKED,), True),
]
STRING = {"type": "string"}


def policy(**table: Any) -> Policy:
    return Policy([parse_policy(table)])


def spec_of(rules: Policy, folder: str = "/w", family: Any = None) -> CarrierSpec:
    """Calls of an edit tool for any path."""
    schema = {
        "type": "object",
        "properties": dict.fromkeys(("file_path", "old_string", "new_string"), STRING),
        "required": ["file_path", "old_string", "new_string"],
        "additionalProperties": False,
    }
    spec = carrier(family or Hermes(), Offered("Edit", parameters=schema), FILES)
    return msgspec.structs.replace(spec, policy=rules.texts, folder=folder)


def refused_at(spec: CarrierSpec, text: str) -> int | None:
    """The first byte of ``text`` that is refused; None: none is."""
    return driven(spec, text)[0]


def driven(spec: CarrierSpec, text: str) -> tuple[int | None, Constraint]:
    state = compile_carrier(spec, vocabulary(), gates=LOCAL_GATES)
    for at, byte in enumerate(text.encode()):
        token = vocabulary().prefixes[bytes((byte,))][0]
        if not state.allows(token):
            return at, state
        state = state.advance(token)
    return None, state


def call(path: str, old: str, new: str) -> str:
    arguments = json.dumps({"file_path": path, "old_string": old, "new_string": new}, ensure_ascii=False)
    return f'<tool_call>\n{{"name": "Edit", "arguments": {arguments}}}\n</tool_call>'


@pytest.mark.parametrize("folder", ["/w", ""], ids=["known folder", "unknown folder"])
@pytest.mark.parametrize(
    ("rules", "path", "stop"),
    [
        ({"protect": ["src/**"]}, "/w/src/a.py", "/w/src"),
        ({"protect": ["src/**"]}, "/w/source/a.py", None),
        ({"protect": ["**/*.py"]}, "/w/src/a.py", "/w/src/a.py"),
        ({"protect": ["SRC/**"]}, "/w/src/a.py", "/w/src"),
        ({"allow": ["src/**"]}, "/w/src/a.py", None),
        ({"allow": ["src/*.py"]}, "/w/marked.py", ...),
    ],
)
def test_a_path_is_held_as_soon_as_none_that_is_open_begins_so(
    folder: str, rules: dict[str, Any], path: str, stop: Any
) -> None:
    text = call(path, "zz", "")
    begin = text.index(path)
    at = refused_at(spec_of(policy(paths=rules), folder), text)
    if stop is ...:
        assert at is not None and at <= begin + len(path)
    elif stop is None:
        assert at is None or at > begin + len(path)
    else:
        assert at == begin + len(stop)


def test_what_was_refused_is_told() -> None:
    _, state = driven(spec_of(policy(paths={"protect": ["src/**"]})), call("/w/src/a.py", "g", "h"))
    assert isinstance(state, Vetoing)
    assert [each.id for each in state.vetoes()] == ["paths/closed"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["w", "src", "generated", "a.py", "b", "..", ""]), min_size=1, max_size=5), st.data())
def test_no_path_that_may_be_edited_is_refused_on_the_way(parts: list[str], data: st.DataObject) -> None:
    globs = st.lists(st.sampled_from(["src/**", "**/generated/**", "*.py", "w/*", "**/b"]), max_size=2)
    rules = policy(
        paths={"protect": data.draw(globs), "allow": data.draw(st.sampled_from([["**"], ["src/**", "w/**"]]))}
    )
    project = Project(rules, data.draw(st.sampled_from(["", "/w", "/w/src"])))
    path = data.draw(st.sampled_from(["", "/"])) + "/".join(part for part in parts if part not in ("", ".."))
    if path.strip("/") and project.may_edit(path):
        assert all(project.may_begin(path[:end]) for end in range(len(path) + 1)), path


@pytest.mark.parametrize(
    ("old", "allowed"),
    [
        ("a = 1", True),
        ("a = 1\n# dovetail", False),
        ("protected begin", False),
        ("c = 3\nb = 2", True),
        ("b = 2\nd", True),
        ("end\nc", False),
        ("c = 3", True),
    ],
)
def test_protected_lines_are_not_quoted(old: str, allowed: bool) -> None:
    text = call("/w/marked.py", old, "e")
    assert (refused_at(spec_of(policy()), text) is None) is allowed


def test_a_random_model_touches_no_protected_line() -> None:
    for family in (each for each in FAMILIES if each.name in ("hermes", "qwen3_coder")):
        tool = edit_tool(["/w/marked.py"])
        spec = msgspec.structs.replace(carrier(family, tool, FILES), policy=policy().texts)
        calls = [found for seed in range(12) for found in calls_in(family, tool, walk(spec, seed))]
        assert len(calls) >= 3
        for found in calls:
            assert MARKED.count(found["old_string"]) == 1, found
            after = MARKED.replace(found["old_string"], "new")
            assert "\n# dovetail: protected begin\nb = 2\n# dovetail: protected end\n" in after, found


@pytest.mark.parametrize(
    ("new", "allowed"), [("h[x]", True), ("eval(x)", False), ("g(x)\n\n\nimport requests\n", False), ("g(x + 1)", True)]
)
def test_new_text_is_held_to_the_rules(new: str, allowed: bool) -> None:
    rules = policy(
        calls=[{"id": "no-eval", "forbid": ["eval"]}],
        imports=[{"id": "layers", "paths": ["src/**"], "forbid": ["requests"]}],
    )
    at, state = driven(spec_of(rules), call("/w/src/a.py", "g(x)", new))
    assert (at is None) is allowed
    assert isinstance(state, Vetoing)
    assert len(state.vetoes()) == (0 if allowed else 1)


def test_a_line_that_cannot_stand_is_refused_at_its_end() -> None:
    rules = policy(imports=[{"id": "layers", "paths": ["src/**"], "forbid": ["requests"]}])
    text = call("/w/src/a.py", "import os", "import requests\nimport os")
    at = refused_at(spec_of(rules), text)
    assert at is not None and text[:at].endswith("import requests\\")


def test_a_text_that_is_refused_again_and_again_is_let_go() -> None:
    spec = spec_of(policy(calls=[{"id": "no-eval", "forbid": ["eval"]}]))
    head = call("/w/src/a.py", "g(x)", "").partition('"new_string": "')
    at, state = driven(spec, f"{head[0]}{head[1]}eval(x)")
    assert at is None
    quote, blank = (vocabulary().prefixes[each][0] for each in (b'"', b" "))
    tries = 0
    while not state.allows(quote):
        state = state.advance(blank)
        tries += 1
    assert 5 < tries < 20


PATCHING = CarrierTool(name="apply_patch", head=r"PATCH\n", style="plain", patch="input")


@pytest.mark.parametrize(
    ("patch", "stop"),
    [
        ("*** Update File: src/a.py\n", "*** Update File: src"),
        ("*** Add File: src/new.py\n", "*** Add File: src"),
        ("*** Update File: marked.py\n@@\n a = 1\n-# dovetail", "*** Update File: marked.py\n@@\n a = 1\n"),
        ("*** Update File: marked.py\n@@\n-c = 3\n+c = 4\n", None),
        ("*** Update File: marked.py\n*** Move to: src/b.py\n", "*** Update File: marked.py\n*** Move to: src"),
    ],
)
def test_patches_are_held_to_it_too(patch: str, stop: str | None) -> None:
    rules = policy(paths={"protect": ["src/**"]})
    spec = CarrierSpec(files=tuple(FILES), tools=(PATCHING,), folder="/w", policy=rules.texts)
    head = "PATCH\n*** Begin Patch\n"
    at = refused_at(spec, head + patch)
    assert at == (None if stop is None else len(head) + len(stop))


def test_where_no_open_path_is_left_the_path_is_let_go() -> None:
    """A stream cannot go back, and a call that was begun has to end."""
    text = call("/w/src/a.py", "g", "h")
    at, state = driven(spec_of(policy(paths={"allow": []})), text)
    assert at is not None
    assert not any(state.allows(int(token)) for token in mask_of(state).nonzero()[0])
    retreat = state.retreat()
    assert retreat is not None
    assert retreat.state.allows(vocabulary().prefixes[text[at].encode()][0])
