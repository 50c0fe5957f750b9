"""Policies over HTTP: the server's, a request's, what the answers say, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from edit_scripts import CALC, REPORT, URL, writes

from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.governed import server_policy
from dovetail.serve.types import Finding

APPLY = "/v1/edits/apply"
FILES = [{"path": "calc.py", "content": CALC}, {"path": "locked/key.txt", "content": "k\n"}]
EVAL = "calc.py\n<<<<<<< SEARCH\n    return a + b\n=======\n    return eval(a) + b\n>>>>>>> REPLACE\n"
SERVER = Policy([parse_policy({"paths": {"protect": ["locked/**"]}, "findings": {"rules": ["default"]}})])
ASK: dict[str, Any] = {"instruction": "change it", "files": FILES}


async def test_the_answer_says_what_held_and_what_was_found(make_api):
    api = make_api(writes(EVAL), policy=SERVER)
    body = (await api.post(URL, ASK)).json()
    told = body["policy"]
    assert told["digest"] == SERVER.digest
    assert told["closed"] == ["locked/key.txt"]
    assert {"rule": "paths", "when": "decoding"} in told["decided"]
    assert {"rule": "findings.rules", "when": "after"} in told["decided"]
    (found,) = told["findings"]
    assert (found["id"], found["path"], found["line"], found["cwe"]) == ("python/eval", "calc.py", 2, "CWE-95")
    assert (found["mode"], found["decided"], found["severity"]) == ("report", "after", "high")
    assert "liases" in told["limits"]
    assert api.engine.requests[0].constraint.policy == SERVER.texts


async def test_what_the_model_was_kept_from(make_api):
    veto = Finding(id="x", rule="calls", path="calc.py", message="no", line=2, decided="decoding")
    api = make_api(writes("", report=msgspec.structs.replace(REPORT, vetoes=(veto,))), policy=SERVER)
    (told,) = (await api.post(URL, ASK)).json()["policy"]["refused"]
    assert (told["id"], told["line"], told["decided"]) == ("x", 2, "decoding")


async def test_without_a_policy_nothing_is_said(make_api):
    assert "policy" not in (await make_api(writes(EVAL)).post(URL, ASK)).json()


async def test_a_request_narrows(make_api):
    api = make_api(writes(EVAL), policy=SERVER)
    narrowed = await api.post(URL, {**ASK, "policy": {"limits": {"changed_lines": 2}}})
    told = narrowed.json()["policy"]
    assert told["documents"][0] == SERVER.documents[0].digest and len(told["documents"]) == 2
    assert told["digest"] != SERVER.digest
    assert {"rule": "limits.changed_lines", "when": "terminator"} in told["decided"]
    assert len(api.engine.requests[0].constraint.policy) == 2


async def test_an_output_that_breaks_the_policy_is_a_defect(make_api):
    api = make_api(writes(EVAL))
    answer = await api.post(URL, {**ASK, "policy": {"calls": [{"id": "x", "forbid": ["eval"]}]}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "guarantee_violated")


@pytest.mark.parametrize(
    ("policy", "param"),
    [
        ({"limit": {}}, "policy.limit"),
        ({"paths": {"allow": ["/x"]}}, "policy.paths.allow[0]"),
        ({"patterns": [{"id": "a", "languages": ["python"], "message": "m", "query": "(call) @match"}]}, "policy.patterns"),
        ({"findings": {"rules": ["none"]}}, "policy.findings.rules[0]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("url", [URL, APPLY])
async def test_a_policy_that_cannot_be_used(make_api, url, policy, param):
    ask = ASK if url == URL else {"files": FILES, "text": EVAL}
    answer = await make_api(writes(EVAL)).post(url, {**ask, "policy": policy})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_policy", param)


async def test_text_made_elsewhere(make_api):
    api = make_api(policy=SERVER)
    applied = (await api.post(APPLY, {"files": FILES, "text": EVAL})).json()["policy"]
    assert [each["id"] for each in applied["findings"]] == ["python/eval"]
    assert {each["when"] for each in applied["decided"]} == {"after"}
    strict = {"findings": {"rules": ["python"], "mode": "refuse"}}
    refused = await api.post(APPLY, {"files": FILES, "text": EVAL, "policy": strict})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "edit_policy")
    assert [each["line"] for each in refused.json()["error"]["details"]["findings"]] == [2]
    key = "locked/key.txt\n<<<<<<< SEARCH\nk\n=======\nl\n>>>>>>> REPLACE\n"
    closed = await api.post(APPLY, {"files": FILES, "text": key})
    assert closed.json()["error"]["details"]["findings"][0]["id"] == "paths/closed"
    lines = {"protected": [{"path": "calc.py", "first_line": 2, "last_line": 2}]}
    held = await api.post(APPLY, {"files": FILES, "text": EVAL, "policy": lines})
    assert (held.status_code, held.json()["error"]["code"]) == (422, "edit_protected")


async def test_the_digest_is_in_the_metrics(make_api):
    assert SERVER.digest in (await make_api(policy=SERVER).client.get("/metrics")).text
    assert "dovetail_policy" not in (await make_api().client.get("/metrics")).text


def test_the_configured_file(tmp_path: Path):
    file = tmp_path / "policy.toml"
    assert server_policy(ServerConfig()) is None
    file.write_text('[paths]\nprotect = ["locked/**"]\n[findings]\nrules = ["default"]\n')
    policy = server_policy(ServerConfig(policy=file))
    assert policy is not None and policy.digest == SERVER.digest
    file.write_text("[path]\n")
    with pytest.raises(ConfigError, match=r"policy\.toml: Policy: path: is no key of a policy; did you mean 'paths'"):
        server_policy(ServerConfig(policy=file))
