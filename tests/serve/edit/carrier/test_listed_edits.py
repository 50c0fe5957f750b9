"""A call with a list of edits: each quotes what the one before it has left."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from babble import calls_in, walk
from babble import carrier as carrier_of
from byte_pairs import vocabulary
from offered import Offered
from test_carrier import FOLLOWED, along

from dovetail.models.dialects.hermes import Hermes
from dovetail.serve.edit.carrier.compile import compile_carrier
from dovetail.serve.edit.known.follow import Call, Turn, known_texts
from dovetail.serve.edit.known.tools import roles_of
from dovetail.serve.types import CarrierSpec, KnownFile

TEXT = "a = 1\nb = 2\nc = 1\n"
FILES = [KnownFile("a.py", (TEXT,), True)]


def multi_edit(family: Any = None) -> tuple[Offered, CarrierSpec]:
    edit = {
        "type": "object",
        "properties": {"old_string": {"type": "string"}, "new_string": {"type": "string"}},
        "required": ["old_string", "new_string"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"file_path": {"enum": ["a.py"]}, "edits": {"type": "array", "items": edit, "minItems": 1}},
        "required": ["file_path", "edits"],
        "additionalProperties": False,
    }
    tool = Offered("Edit", parameters=schema)
    spec = carrier_of(family or Hermes(), tool, FILES)
    return tool, msgspec.structs.replace(spec, tools=(msgspec.structs.replace(spec.tools[0], edits="edits"),))


def call(*edits: tuple[str, str]) -> str:
    listed = [{"old_string": old, "new_string": new} for old, new in edits]
    arguments = json.dumps({"file_path": "a.py", "edits": listed})
    return f'<tool_call>\n{{"name": "Edit", "arguments": {arguments}}}\n</tool_call>'


@pytest.mark.parametrize(
    ("edits", "allowed"),
    [
        ([("a = 1", "a = 3"), ("b = 2", "")], True),
        ([("a = 1", "a = 3"), ("a = 3", "x")], True),
        ([("a = 1", "a = 3"), ("a = 1", "x")], False),
        ([("a = 1", "a = 3"), ("= 1", "x")], True),
        ([("= 1", "x")], False),
        ([("b = 2", "b = 3"), ("d", "x")], False),
    ],
)
def test_an_edit_quotes_what_the_one_before_has_left(edits: list[tuple[str, str]], allowed: bool) -> None:
    state = along(compile_carrier(multi_edit()[1], vocabulary()), call(*edits))
    assert (state is not None) is allowed
    assert state is None or state.may_end()


@pytest.mark.parametrize("family", FOLLOWED, ids=lambda family: family.name)
def test_a_random_model_makes_edits_that_apply_one_after_another(family: Any) -> None:
    tool, spec = multi_edit(family)
    calls = [found for seed in range(8) for found in calls_in(family, tool, walk(spec, seed))]
    calls = [found for found in calls if isinstance(found["edits"], list)]  # A list that was cut off is read as text.
    assert calls
    for found in calls:
        text = TEXT
        for edit in found["edits"]:
            old = edit["old_string"]
            assert sum(text.startswith(old, at) for at in range(len(text))) == 1, (text, found)
            text = text.replace(old, edit["new_string"])


def test_the_shape_is_recognised_and_followed() -> None:
    roles = roles_of("MultiEdit", ["file_path", "edits"], {"edits": ["old_string", "new_string", "replace_all"]})
    assert roles is not None
    assert (roles.edits, roles.old, roles.everywhere) == ("edits", "old_string", "replace_all")
    assert roles_of("plot", ["file_path", "edits"], {"edits": ["x", "y"]}) is None
    edits = [{"old_string": "a = 1", "new_string": "a = 3"}, {"old_string": "a = 3", "new_string": "z"}]
    turns = [
        Turn(role="assistant", calls=(Call(id="1", name="Read", arguments='{"file_path": "/a.py"}'),)),
        Turn(role="tool", answers="1", text=TEXT),
        Turn(
            role="assistant",
            calls=(Call(id="2", name="MultiEdit", arguments=json.dumps({"file_path": "/a.py", "edits": edits})),),
        ),
        Turn(role="tool", answers="2", text="Applied 2 edits."),
    ]
    known = known_texts(turns).find("/a.py")
    assert known is not None
    assert known.pieces == (TEXT.replace("a = 1", "z"),)
