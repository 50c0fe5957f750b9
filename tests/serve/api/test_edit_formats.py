"""/v1/edits in every format and under every rule, against scripted outputs."""

from __future__ import annotations

import dataclasses

import pytest
from edit_scripts import CALC, URL, events_of, writes

from dovetail.serve.types import EditSpec

PLUS = CALC.replace("add", "plus")
ASK = {"instruction": "rename add to plus", "files": [{"path": "calc.py", "content": CALC}], "max_tokens": 999}
OUTPUTS = {
    "apply_patch": (
        "*** Begin Patch\n*** Update File: calc.py\n@@\n-def add(a, b):\n+def plus(a, b):\n     return a + b\n"
        "@@ def twice(a):\n-    return add(a, a)\n+    return plus(a, a)\n*** End Patch\n"
    ),
    "unified_diff": (
        "```diff\ndiff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ @@\n-def add(a, b):\n+def plus(a, b):\n"
        "@@ @@\n-    return add(a, a)\n+    return plus(a, a)\n```\n"
    ),
    "whole_file": f"calc.py\n```\n{PLUS}```\n",
    "str_replace": (
        '{"file_path": "calc.py", "old_string": "def add(a, b):\\n", "new_string": "def plus(a, b):\\n"}\n'
        '{"file_path": "calc.py", "old_string": "    return add(a, a)\\n", "new_string": "    return plus(a, a)\\n"}\n'
    ),
}


@pytest.fixture
def chatting(served):
    return dataclasses.replace(served, max_model_len=16_384)


@pytest.mark.parametrize("name", list(OUTPUTS))
async def test_the_answer_has_one_shape(make_api, chatting, name):
    api = make_api(writes(OUTPUTS[name]), served=chatting)
    answer = await api.post(URL, {**ASK, "format": name})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["format"] == name
    assert body["files"] == [{"path": "calc.py", "content": PLUS}]
    assert body["operations"] == []
    content = CALC
    for edit in body["edits"]:
        assert content.count(edit["search"]) == 1
        content = content.replace(edit["search"], edit["replace"])
    assert content == PLUS
    assert body["text"] == (body["patch"] if name == "unified_diff" else OUTPUTS[name])
    [request] = api.engine.requests
    assert isinstance(request.constraint, EditSpec)
    assert request.constraint.format == name
    assert bytes(request.prompt).startswith(b"<system>")
    again = await api.post("/v1/edits/apply", {"text": body["text"], "files": ASK["files"], "format": name})
    assert again.json()["files"] == body["files"]


@pytest.mark.parametrize("name", list(OUTPUTS))
async def test_the_stream_is_text(make_api, chatting, name):
    output = OUTPUTS[name]
    api = make_api(writes(output[:40], 20, output[20:50], output[50:]), served=chatting)
    events = events_of((await api.post(URL, {**ASK, "format": name, "stream": True})).text)
    text = ""
    for kind, data in events:
        if kind == "edits.text.delta":
            text += data["delta"]
        elif kind == "edits.text.rollback":
            text = text[: data["keep_chars"]]
    assert text == output
    assert events[-1][0] == "edits.completed"
    assert events[-1][1]["files"][0]["content"] == PLUS


async def test_a_patch_that_the_budget_ended_is_completed(make_api, chatting):
    cut = OUTPUTS["apply_patch"].partition("@@ def")[0]
    api = make_api(writes(cut, reason="length"), served=chatting)
    body = (await api.post(URL, {**ASK, "format": "apply_patch"})).json()
    assert len(body["edits"]) == 1
    assert body["text"] == cut + "*** End Patch\n"


async def test_rules_reach_the_engine_and_are_checked_again(make_api, chatting):
    api = make_api(writes(OUTPUTS["apply_patch"]), served=chatting)
    rules = {"protected": [{"path": "calc.py", "first_line": 1, "last_line": 2}], "syntax": "final"}
    answer = await api.post(URL, {**ASK, "format": "apply_patch", **rules, "operations": ["create"]})
    assert answer.json()["error"]["code"] == "guarantee_violated"
    constraint = api.engine.requests[0].constraint
    assert (constraint.protected, constraint.syntax) == ((("calc.py", 1, 2),), "final")
    assert constraint.operations == ("create",)


async def test_operations_in_the_answer(make_api, chatting):
    output = "*** Begin Patch\n*** Delete File: calc.py\n*** Add File: a/b.py\n+x = 1\n*** End Patch\n"
    api = make_api(writes(output), served=chatting)
    body = (await api.post(URL, {**ASK, "format": "apply_patch", "operations": ["create", "delete"]})).json()
    assert body["operations"] == [
        {"kind": "delete", "path": "calc.py"},
        {"kind": "create", "path": "a/b.py", "content": "x = 1\n"},
    ]
    assert body["files"] == [{"path": "a/b.py", "content": "x = 1\n"}]
    assert body["constraint"]["syntax"] == {"calc.py": "compiler", "a/b.py": "compiler"}
    unasked = await api.post(URL, {**ASK, "format": "apply_patch", "operations": ["create"]})
    assert unasked.json()["error"]["code"] == "guarantee_violated"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"format": "udiff"}, "format"),
        ({"syntax": "never"}, "syntax"),
        ({"operations": ["delete"]}, "operations"),
        ({"format": "str_replace", "operations": ["rename"]}, "operations"),
        ({"protected": [{"path": "x.py", "first_line": 1, "last_line": 1}]}, "protected[0].path"),
        ({"protected": [{"path": "calc.py", "first_line": 3, "last_line": 99}]}, "protected[0]"),
        ({"protected": [{"path": "calc.py", "first_line": 0, "last_line": 1}]}, "protected[0].first_line"),
    ],
)
async def test_what_is_refused(make_api, fields, param):
    answer = await make_api(writes()).post(URL, {**ASK, **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_a_model_without_a_conversation_is_asked_for_blocks_only(make_api, served):
    api = make_api(writes(), served=dataclasses.replace(served, render_chat=None))
    answer = await api.post(URL, {**ASK, "format": "whole_file"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_format")
    assert (await api.post(URL, ASK)).status_code == 200


@pytest.mark.parametrize("name", ["blocks", *OUTPUTS])
async def test_windows_files_are_answered_in_their_own_bytes(make_api, chatting, name):
    output = OUTPUTS.get(name) or (
        "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n"
        "calc.py\n<<<<<<< SEARCH\n    return add(a, a)\n=======\n    return plus(a, a)\n>>>>>>> REPLACE\n"
    )
    before, after = (f"\ufeff{text}".replace("\n", "\r\n") for text in (CALC, PLUS))
    ask = {**ASK, "files": [{"path": "calc.py", "content": before}], "format": name}
    api = make_api(writes(output), served=chatting)
    body = (await api.post(URL, ask)).json()
    assert body["files"] == [{"path": "calc.py", "content": after}]
    content = before
    for edit in body["edits"]:
        assert content.count(edit["search"]) == 1
        content = content.replace(edit["search"], edit["replace"])
    assert content == after
    assert b"\r" not in bytes(api.engine.requests[0].prompt)
    for text in (body["text"], output):
        again = await api.post("/v1/edits/apply", {"text": text, "files": ask["files"], "format": name})
        assert again.json()["files"] == body["files"]
    events = events_of((await api.post(URL, {**ask, "stream": True})).text)
    deltas = "".join(data["delta"] for kind, data in events if kind == "edit.replace.delta")
    assert deltas == ("def plus(a, b):\r\n    return plus(a, a)\r\n" if name == "blocks" else "")
