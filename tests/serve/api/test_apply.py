"""/v1/edits/apply: texts made elsewhere, in every format; and what a client is told of those that do not fit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

URL = "/v1/edits/apply"
CALC = "import os\n\n\ndef add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return add(a, a)\n"
FILES = [{"path": "calc.py", "content": CALC}]
PLUS = CALC.replace("return a + b", "return b + a")

MADE_ELSEWHERE = {
    "aider": (
        "blocks",
        "Here you are:\n\ncalc.py\n```python\n<<<<<<< SEARCH\n    return a + b\n=======\n    return b + a\n>>>>>>> REPLACE\n```\nDone!",
    ),
    "aider, the path in the fence": (
        "blocks",
        "Sure.\n\n```python\ncalc.py\n<<<<<<< SEARCH\n    return a + b\n=======\n    return b + a\n>>>>>>> REPLACE\n```\n",
    ),
    "aider, sloppy markers": (
        "blocks",
        "### `calc.py`:\n```\n<<<<<< SEARCH\n    return a + b\n========\n    return b + a\n>>>>>>>> REPLACE\n```\n",
    ),
    "codex, two anchors": (
        "apply_patch",
        "*** Begin Patch\n*** Update File: calc.py\n@@ import os\n@@ def add(a, b):\n-    return a + b\n+    return b + a\n"
        "*** End Patch",
    ),
    "codex": (
        "apply_patch",
        "apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: calc.py\n@@ def add(a, b):\n-    return a + b\n+    return b + a\n*** End Patch\nEOF\n",
    ),
    "codex with context": (
        "apply_patch",
        "*** Begin Patch\n*** Update File: calc.py\n@@\n def add(a, b):\n-    return a + b\n+    return b + a\n \n*** End Patch",
    ),
    "git": (
        "unified_diff",
        "diff --git a/calc.py b/calc.py\nindex 123..456 100644\n--- a/calc.py\n+++ b/calc.py\n"
        "@@ -4,3 +4,3 @@ import os\n def add(a, b):\n-    return a + b\n+    return b + a\n \n",
    ),
    "git, an empty line that lost its blank": (
        "unified_diff",
        "--- a/calc.py\n+++ b/calc.py\n@@ -4,5 +4,5 @@\n def add(a, b):\n-    return a + b\n+    return b + a\n\n\n def twice(a):\n",
    ),
    "plain diff": ("unified_diff", "--- calc.py\n+++ calc.py\n@@ -5 +5 @@\n-    return a + b\n+    return b + a\n"),
    "numberless": (
        "unified_diff",
        "```diff\n--- a/calc.py\n+++ b/calc.py\n@@ ... @@\n-    return a + b\n+    return b + a\n```",
    ),
    "whole": ("whole_file", f"I changed it.\n\n**calc.py**\n```python\n{PLUS}```\n"),
    "claude code": (
        "str_replace",
        '{"file_path": "calc.py", "old_string": "a + b", "new_string": "b + a", "replace_all": false}',
    ),
    "opencode": ("str_replace", '[{"filePath": "calc.py", "oldString": "a + b\\n", "newString": "b + a\\n"}]'),
}


@pytest.mark.parametrize("made", list(MADE_ELSEWHERE))
async def test_texts_made_elsewhere(api, tmp_path, made):
    name, text = MADE_ELSEWHERE[made]
    answer = await api.post(URL, {"text": text, "files": FILES, "format": name})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["files"] == [{"path": "calc.py", "content": PLUS}]
    assert (body["object"], body["operations"], body["syntax"]) == ("edits.applied", [], {"calc.py": "compiler"})
    assert CALC.replace(body["edits"][0]["search"], body["edits"][0]["replace"]) == PLUS
    assert git_applies(body["patch"], tmp_path) == PLUS


def git_applies(patch: str, folder: Path) -> str:
    (folder / "calc.py").write_text(CALC)
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=folder, check=True)
    return (folder / "calc.py").read_text()


@pytest.mark.parametrize("to", ["blocks", "apply_patch", "unified_diff", "whole_file", "str_replace"])
@pytest.mark.parametrize("made", list(MADE_ELSEWHERE))
async def test_any_format_into_any_other(api, made, to):
    name, text = MADE_ELSEWHERE[made]
    body = (await api.post(URL, {"text": text, "files": FILES, "format": name, "render": to})).json()
    again = await api.post(URL, {"text": body["text"], "files": FILES, "format": to})
    assert again.json()["files"] == body["files"]


async def test_insertions_and_whole_files(api):
    text = (
        '{"path": "calc.py", "insert_line": 1, "new_str": "import sys\\n"}\n{"path": "b.py", "file_text": "x = 1\\n"}\n'
    )
    body = (
        await api.post(URL, {"text": text, "files": FILES, "format": "str_replace", "render": "apply_patch"})
    ).json()
    assert body["edits"] == [
        {"path": "calc.py", "search": "", "replace": "import sys\n", "start_line": 2, "end_line": 1}
    ]
    assert body["operations"] == [{"kind": "create", "path": "b.py", "content": "x = 1\n"}]
    assert [file["path"] for file in body["files"]] == ["calc.py", "b.py"]
    again = await api.post(URL, {"text": body["text"], "files": FILES, "format": "apply_patch"})
    assert again.json()["files"] == body["files"]


async def test_a_miss_says_what_is_there_and_what_to_resend(api):
    text = (
        "*** Begin Patch\n*** Update File: calc.py\n@@\n-import os\n+import sys\n"
        "@@\n def add(a, b):\n-    return a  + b\n+    return b\n*** End Patch\n"
    )
    answer = await api.post(URL, {"text": text, "files": FILES, "format": "apply_patch"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("edit_not_found", "blocks[1]")
    details = error["details"]
    assert details["expected"] == ["def add(a, b):", "    return a  + b"]
    assert details["matched"] == 1
    assert details["nearest"] == {"start_line": 4, "lines": ["def add(a, b):", "    return a + b"]}
    assert (details["edit"], details["fitted"], details["applied"]) == (1, 1, 0)
    assert "lines 4 to 5" in details["resend"]


SEARCH = "calc.py\n<<<<<<< SEARCH\n{0}=======\n{1}>>>>>>> REPLACE\n"


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("blocks", SEARCH.format("nowhere\n", ""), "edit_not_found"),
        ("blocks", SEARCH.format("\n", "x\n"), "edit_ambiguous"),
        ("blocks", SEARCH.format("import os\n", "import (\n"), "edit_syntax"),
        ("blocks", SEARCH.format("import os\n", "").replace("calc", "other"), "edit_unknown_path"),
        ("blocks", SEARCH.format("import os\n", "")[:-20], "edit_malformed"),
        ("apply_patch", "nothing of the kind", "edit_malformed"),
        ("apply_patch", "*** Begin Patch\n*** Update File: calc.py\n*** End Patch", "edit_malformed"),
        ("apply_patch", "*** Begin Patch\n*** Add File: calc.py\n+x\n*** End Patch", "edit_path_taken"),
        ("apply_patch", "*** Begin Patch\n*** Add File: ../x\n+x\n*** End Patch", "edit_invalid_path"),
        ("apply_patch", "*** Begin Patch\n*** Add File: CALC.py\n+x\n*** End Patch", "edit_path_taken"),
        ("apply_patch", "*** Begin Patch\n*** Add File: .git/hooks/x\n+x\n*** End Patch", "edit_invalid_path"),
        ("unified_diff", "--- /dev/null\n+++ b/c:/x\n@@ -0,0 +1 @@\n+x\n", "edit_invalid_path"),
        ("whole_file", "a\\b.py\n```\nx = 1\n```\n", "edit_invalid_path"),
        ("str_replace", '{"command": "create", "path": "/abs.py", "file_text": ""}', "edit_invalid_path"),
        ("apply_patch", "*** Begin Patch\n*** Delete File: no.py\n*** End Patch", "edit_unknown_path"),
        ("unified_diff", "--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,1 @@\n-import os\n+import sys\n", "edit_malformed"),
        ("unified_diff", "--- a/calc.py\n+++ b/calc.py\n@@ -2 +2 @@\n-import os\n+import sys\n", "edit_not_found"),
        ("unified_diff", "whatever", "edit_malformed"),
        ("whole_file", "calc.py\n```\nx = (\n```\n", "edit_syntax"),
        ("whole_file", "calc.py\n```\nx = 1\n", "edit_malformed"),
        ("str_replace", "{", "edit_malformed"),
        ("str_replace", '{"path": "calc.py"}', "edit_malformed"),
        ("str_replace", '{"path": "calc.py", "old_str": "a", "new_str": "b"}', "edit_ambiguous"),
        ("str_replace", '{"path": "calc.py", "insert_line": 99, "new_str": "b"}', "edit_not_found"),
    ],
)
async def test_nothing_is_applied(api, name, text, code):
    answer = await api.post(URL, {"text": text, "files": FILES, "format": name})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code), answer.text
    assert answer.json()["error"]["details"]["applied"] == 0


async def test_rules(api):
    block = {"text": SEARCH.format("import os\n", "import (\n"), "files": FILES}
    assert (await api.post(URL, {**block, "syntax": "off"})).status_code == 200
    held = {"path": "calc.py", "first_line": 1, "last_line": 2}
    refused = await api.post(URL, {**block, "syntax": "off", "protected": [held]})
    assert refused.json()["error"]["code"] == "edit_protected"
    unknown = await api.post(URL, {**block, "fuzzy": True})
    assert unknown.json()["error"]["code"] == "unknown_field"
    deletes = {
        "text": "*** Begin Patch\n*** Delete File: calc.py\n*** End Patch\n",
        "files": FILES,
        "format": "apply_patch",
    }
    assert (await api.post(URL, {**deletes, "protected": [held]})).json()["error"]["code"] == "edit_protected"
    assert (await api.post(URL, {**deletes, "render": "blocks"})).json()["error"]["param"] == "render"


async def test_codex_takes_the_first_place_behind_the_anchor(api):
    content = "def f():\n    return 1\n\n\ndef g():\n    return 1\n"
    text = "*** Begin Patch\n*** Update File: a.py\n@@ def g():\n-    return 1\n+    return 2\n*** End Patch\n"
    files = [{"path": "a.py", "content": content}]
    body = (await api.post(URL, {"text": text, "files": files, "format": "apply_patch"})).json()
    assert body["files"][0]["content"] == content[:-2] + "2\n"
    assert body["edits"][0]["start_line"] == 6


MISSES = {
    "blocks": "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n    return a  + b\n=======\nx\n>>>>>>> REPLACE\n",
    "apply_patch": "*** Begin Patch\n*** Update File: calc.py\n@@\n def add(a, b):\n-    return a  + b\n*** End Patch\n",
    "unified_diff": "--- a/calc.py\n+++ b/calc.py\n@@ -4,2 +4,1 @@\n def add(a, b):\n-    return a  + b\n",
    "str_replace": '{"path": "calc.py", "old_str": "def add(a, b):\\n    return a  + b\\n", "new_str": "x"}',
}


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("name", list(MISSES))
async def test_a_miss_in_every_format(api, name, windows):
    """What was looked for, how far it was found, and what the file has there, as lines that can be sent back."""
    content = CALC.replace("\n", "\r\n") if windows else CALC
    files = [{"path": "calc.py", "content": content}]
    answer = await api.post(URL, {"text": MISSES[name], "files": files, "format": name})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "edit_not_found")
    details = answer.json()["error"]["details"]
    assert details["expected"] == ["def add(a, b):", "    return a  + b"]
    assert (details["matched"], details["reason"], details["path"]) == (1, "not_found", "calc.py")
    assert details["nearest"] == {"start_line": 4, "lines": ["def add(a, b):", "    return a + b"]}
    assert "lines 4 to 5" in details["resend"]
    again = MISSES[name].replace("a  + b", "a + b")
    sent = await api.post(URL, {"text": again, "files": files, "format": name, "syntax": "off"})
    assert sent.status_code == 200, sent.text


@pytest.mark.parametrize("head", ["-4,3 +4,2", "-4,2 +4,3", "-4,9 +4,9", "-4 +4", "-4,0 +4,0"])
async def test_wrong_counts_are_put_right_in_words(api, head):
    text = (
        f"diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ {head} @@ import os\n def add(a, b):\n"
        "-    return a + b\n+    return b + a\ndiff --git a/b.py b/b.py\n--- a/b.py\n+++ b/b.py\n@@ -1,1 +1,1 @@\n-x = 1\n+x = 2\n"
    )
    files = [*FILES, {"path": "b.py", "content": "x = 1\n"}]
    answer = await api.post(URL, {"text": text, "files": files, "format": "unified_diff"})
    assert answer.json()["error"]["code"] == "edit_malformed"
    assert "@@ -4,2 +4,2 @@" in answer.json()["error"]["message"]
    right = text.replace(f"@@ {head} @@", "@@ -4,2 +4,2 @@")
    answer = await api.post(URL, {"text": right, "files": files, "format": "unified_diff"})
    assert [file["content"] for file in answer.json()["files"]] == [PLUS, "x = 2\n"]


async def test_what_a_format_cannot_say_names_those_that_can(api):
    patch = "*** Begin Patch\n*** Delete File: calc.py\n*** End Patch\n"
    body = {"text": patch, "files": FILES, "format": "apply_patch", "render": "str_replace"}
    error = (await api.post(URL, body)).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_format", "render")
    assert "apply_patch, unified_diff" in error["message"]
    asked = {"instruction": "x", "files": FILES, "format": "whole_file", "operations": ["rename"]}
    error = (await api.post("/v1/edits", asked)).json()["error"]
    assert (error["param"], "apply_patch, unified_diff" in error["message"]) == ("operations", True)
