"""/v1/edits against scripted outputs: the answer, the stream, rollbacks, and outputs that break the promise."""

from __future__ import annotations

import dataclasses
import math
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from edit_scripts import CALC, URL, events_of, writes

from dovetail.serve.engine.fake import reply
from dovetail.serve.types import EditSpec

ASK: dict[str, Any] = {
    "model": "tiny",
    "instruction": "rename add to plus",
    "files": [{"path": "calc.py", "content": CALC}, {"path": "notes.txt", "content": "nothing"}],
}
FIRST = (
    "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n",
    "calc.py\n<<<<<<< SEARCH\n    return add(a, a)\n=======\n    return plus(a, a)\n>>>>>>> REPLACE\n",
)


def pieces(text: str, size: int) -> Iterable[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def git_applies(patch: str, folder: Path) -> str:
    (folder / "calc.py").write_text(CALC)
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=folder, check=True)
    return (folder / "calc.py").read_text()


async def test_the_answer(make_api, tmp_path: Path):
    api = make_api(writes(*FIRST))
    answer = await api.post(URL, {**ASK, "seed": 3})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["object"], body["model"], body["finish_reason"]) == ("edits", "tiny", "stop")
    assert body["edits"][0] == {
        "path": "calc.py",
        "search": "def add(a, b):\n",
        "replace": "def plus(a, b):\n",
        "start_line": 1,
        "end_line": 1,
    }
    assert [edit["start_line"] for edit in body["edits"]] == [1, 6]
    assert body["files"] == [{"path": "calc.py", "content": CALC.replace("add", "plus")}]
    assert body["constraint"] == {
        "min_z": 0.25,
        "sum_log_z": -2.0,
        "rollbacks": 1,
        "forced": 9,
        "resampled": 2,
        "drafted": 20,
        "accepted": 15,
        "truncated": False,
        "overruled": 0,
        "distorted": False,
        "syntax": {"calc.py": "compiler", "notes.txt": "off"},
        "origins": {"sampled": len("".join(FIRST)) - 2, "drafted": 0, "forced": 2, "resampled": 0},
    }
    assert body["usage"]["completion_tokens"] == len("".join(FIRST))
    assert "tokens" not in body
    assert git_applies(body["patch"], tmp_path) == body["files"][0]["content"]
    assert "dovetail_edits_total 2.0" in (await api.client.get("/metrics")).text


async def test_what_the_engine_is_asked(make_api):
    api = make_api(writes())
    assert (await api.post(URL, {**ASK, "max_tokens": 100_000, "seed": 5})).status_code == 200
    [request] = api.engine.requests
    assert isinstance(request.constraint, EditSpec)
    assert [file.path for file in request.constraint.files] == ["calc.py", "notes.txt"]
    assert (request.sampling.temperature, request.sampling.seed) == (0, 5)
    assert request.sampling.max_tokens == 4096 - len(request.prompt)
    await api.post(URL, {**ASK, "temperature": 0.7, "top_p": 0.9})
    assert (api.engine.requests[1].sampling.temperature, api.engine.requests[1].sampling.top_p) == (0.7, 0.9)


async def test_no_edit_is_an_answer_too(make_api):
    body = (await make_api(writes()).post(URL, ASK)).json()
    assert (body["edits"], body["files"], body["patch"]) == ([], [], "")


async def test_a_trace_of_origins(make_api):
    body = (await make_api(writes(FIRST[0])).post(URL, {**ASK, "trace": True})).json()
    assert "".join(token["text"] for token in body["tokens"]) == FIRST[0]
    assert body["tokens"][0] == {"text": "c", "origin": "forced"}


async def test_a_traced_stream_tells_each_token_once_and_takes_back_what_is_rolled_back(make_api):
    wrong = "calc.py\n<<<<<<< SEARCH\n    return add(a, a)\n=======\n    return (((é"
    api = make_api(writes(FIRST[0], wrong, len(FIRST[0]), FIRST[1]))
    events = events_of((await api.post(URL, {**ASK, "stream": True, "trace": True})).text)
    assert api.engine.requests[0].sampling.logprobs == 0
    assert events[0][1]["markers"]["divider"] == "======="
    tokens: list[dict[str, object]] = []
    for name, data in events:
        if name == "edits.tokens":
            tokens += data["tokens"]
        elif name == "edits.tokens.rollback":
            assert "".join(str(token["text"]) for token in tokens).endswith("é")
            del tokens[data["keep_tokens"] :]
    assert tokens == events[-1][1]["tokens"]
    assert "".join(str(token["text"]) for token in tokens) == "".join(FIRST)
    plain = events_of((await make_api(writes(FIRST[0])).post(URL, {**ASK, "stream": True})).text)
    assert not [name for name, _ in plain if name.startswith("edits.tokens")]
    assert "markers" not in plain[0][1]


async def test_probabilities_are_those_of_the_model(make_api):
    text = "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n"
    api = make_api(lambda request: reply(request, [text], lambda piece: list(piece.encode())))
    body = (await api.post(URL, {**ASK, "trace": True})).json()
    assert {round(token["probability"], 4) for token in body["tokens"]} == {round(math.exp(-0.5), 4)}


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_the_stream_grows_into_the_answer(make_api, size):
    api = make_api(writes(*pieces("".join(FIRST), size)))
    answer = await api.post(URL, {**ASK, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    assert (events[0][0], events[-1][0]) == ("edits.started", "edits.completed")
    whole = events[-1][1]
    for index, edit in enumerate(whole["edits"]):
        mine = [(name, data) for name, data in events if data.get("index") == index]
        assert mine[0] == ("edit.started", {"type": "edit.started", "index": index, "path": "calc.py"})
        assert "".join(data["delta"] for name, data in mine if name == "edit.search.delta") == edit["search"]
        assert "".join(data["delta"] for name, data in mine if name == "edit.replace.delta") == edit["replace"]
        assert mine[-1] == ("edit.done", {"type": "edit.done", "index": index, "edit": edit})
    assert whole["files"][0]["content"] == CALC.replace("add", "plus")
    assert whole["id"] == events[0][1]["id"]


async def test_rollbacks(make_api):
    wrong = "calc.py\n<<<<<<< SEARCH\n    return add(a, a)\n=======\n    return ((("
    script = writes(FIRST[0], wrong, len(FIRST[0]), FIRST[1])
    whole = (await make_api(script).post(URL, {**ASK, "trace": True})).json()
    assert whole["files"][0]["content"] == CALC.replace("add", "plus")
    assert "".join(token["text"] for token in whole["tokens"]) == "".join(FIRST)
    events = events_of((await make_api(script).post(URL, {**ASK, "stream": True})).text)
    [back] = [data for name, data in events if name == "edit.rollback"]
    assert (back["keep_edits"], back["open"]) == (1, False)
    assert [name for name, _ in events].count("edit.started") == 3
    assert events[-1][1]["edits"] == whole["edits"]


@pytest.mark.parametrize(
    "output",
    [
        "other.py\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n",
        "calc.py\n<<<<<<< SEARCH\nnot there\n=======\ny\n>>>>>>> REPLACE\n",
        "calc.py\n<<<<<<< SEARCH\n\n=======\ny\n>>>>>>> REPLACE\n",
        "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef (:\n>>>>>>> REPLACE\n",
        FIRST[0] + FIRST[0],
        FIRST[0] + "calc.py\n<<<<<<< SEARCH\n",
        "Sure, here you are!\n",
    ],
    ids=["foreign path", "not found", "ambiguous", "unparsable", "overlapping", "unfinished", "prose"],
)
async def test_what_does_not_fit_is_never_returned(make_api, output):
    api = make_api(writes(output))
    answer = await api.post(URL, ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "guarantee_violated")
    events = events_of((await api.post(URL, {**ASK, "stream": True})).text)
    assert events[-1][0] == "error"
    assert events[-1][1]["error"]["code"] == "guarantee_violated"
    assert "edits.completed" not in [name for name, _ in events]
    assert "dovetail_guarantee_violations_total 2.0" in (await api.client.get("/metrics")).text


async def test_a_budget_that_ran_out(make_api):
    body = (await make_api(writes(FIRST[0], reason="length")).post(URL, {**ASK, "max_tokens": 9})).json()
    assert (body["finish_reason"], len(body["edits"])) == ("length", 1)


async def test_exact_text_survives(make_api):
    content = "\ufeffa = 1\r\nb = '\u2028ü\U0001f600'\r\nc = 3"
    output = "crlf.txt\n<<<<<<< SEARCH\nc = 3\n=======\nc = 4\n>>>>>>> REPLACE\n"
    api = make_api(writes(output))
    body = (await api.post(URL, {"instruction": "x", "files": [{"path": "crlf.txt", "content": content}]})).json()
    assert body["files"][0]["content"] == content.replace("c = 3", "c = 4")


async def test_a_model_without_an_edit_template_is_asked_in_a_conversation(make_api, served):
    chatting = dataclasses.replace(served, render_edit=None, max_model_len=8192)
    api = make_api(writes(), served=chatting)
    assert (await api.post(URL, ASK)).status_code == 200
    assert bytes(api.engine.requests[0].prompt).startswith(b"<system>")
    bare = make_api(writes(), served=dataclasses.replace(chatting, render_chat=None))
    refused = await bare.post(URL, ASK)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_model")
