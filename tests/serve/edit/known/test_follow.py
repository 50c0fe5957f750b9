"""What conversations with the clients of today show of files: recorded shapes of calls and results, and what makes us forget."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.edit.known.follow import Call, Known, Turn, known_texts
from dovetail.serve.edit.known.text import KnownText
from dovetail.serve.edit.known.tools import roles_of

CALC = "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))"
NUMBERED = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(CALC.split("\n"), 1))
ARROWS = NUMBERED.replace("\t", "→")
OPENCODE = "\n".join(f"{number}: {line}" for number, line in enumerate(CALC.split("\n"), 1))


def after(*steps: tuple[str, dict[str, Any] | str, str], opening: str = "") -> Known:
    turns = [Turn(role="user", text=opening)]
    for index, (name, arguments, result) in enumerate(steps):
        plain = isinstance(arguments, str)
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        turns.append(Turn(role="assistant", calls=(Call(id=str(index), name=name, arguments=text, plain=plain),)))
        turns.append(Turn(role="tool", text=result, answers=str(index)))
    return known_texts(turns)


def pieces(known: Known, path: str) -> tuple[str, ...] | None:
    text = known.find(path)
    return text.pieces if text is not None else None


READS: list[tuple[str, dict[str, Any], str]] = [
    ("Read", {"file_path": "/r/calc.py"}, NUMBERED),
    ("Read", {"file_path": "/r/calc.py"}, ARROWS + "\n\n<system-reminder>\nNo malware.\n</system-reminder>\n"),
    (
        "read",
        {"filePath": "/r/calc.py"},
        "<path>/r/calc.py</path>\n<type>file</type>\n<content>\n"
        f"{OPENCODE}\n\n(End of file - total 5 lines)\n</content>",
    ),
    (
        "read",
        {"filePath": "/r/calc.py"},
        "<file>\n" + "\n".join(f"{n:05}| {x}" for n, x in enumerate(CALC.split("\n"), 1)) + "\n</file>",
    ),
    ("read_file", {"file_path": "/r/calc.py"}, CALC),
    (
        "exec_command",
        {"cmd": "cat /r/calc.py"},
        f"Wall time: 0.05 seconds\nProcess exited with code 0\nOutput:\n{CALC}",
    ),
    (
        "exec_command",
        {"cmd": "cat calc.py", "workdir": "/r"},
        f"Chunk ID: 1a\nProcess exited with code 0\nOutput:\n{CALC}",
    ),
    (
        "shell",
        {"command": ["bash", "-lc", "cat /r/calc.py"]},
        json.dumps({"output": CALC, "metadata": {"exit_code": 0}}),
    ),
    ("exec_command", {"cmd": "nl -ba /r/calc.py"}, f"Output:\n{NUMBERED}"),
    ("Bash", {"command": "cd /r && cat calc.py"}, CALC),
    (
        "run_shell_command",
        {"command": "cat -n /r/calc.py"},
        f"Command: cat\nDirectory: /r\nOutput: {NUMBERED}\nError: (none)\n",
    ),
    ("str_replace_based_edit_tool", {"command": "view", "path": "/r/calc.py"}, NUMBERED),
    ("view_source", {"path": "/r/calc.py"}, CALC),
]


@pytest.mark.parametrize(("name", "arguments", "result"), READS)
def test_every_way_to_read_a_whole_file(name: str, arguments: dict[str, Any], result: str) -> None:
    text = after((name, arguments, result)).find("/r/calc.py")
    assert text is not None and text.whole
    assert text.pieces == (CALC,)


PARTS: list[tuple[str, dict[str, Any], str, tuple[int, ...]]] = [
    ("Read", {"file_path": "/r/calc.py", "offset": 2, "limit": 2}, "     2→    return a + b\n     3→", (2,)),
    ("exec_command", {"cmd": "sed -n '1,2p' /r/calc.py"}, "Output:\ndef add(a, b):\n    return a + b\n", (1, 2)),
    ("exec_command", {"cmd": "nl -ba /r/calc.py | sed -n 4,5p"}, "     4\t\n     5\tprint(add(1, 2))\n", (4, 5)),
    ("exec_command", {"cmd": "head -n 1 /r/calc.py"}, "def add(a, b):\n", (1,)),
    ("exec_command", {"cmd": "tail -n +5 /r/calc.py"}, "print(add(1, 2))", (5,)),
    ("read_file", {"file_path": "/r/calc.py", "offset": 1, "limit": 1}, "    return a + b", (2,)),
    (
        "str_replace_editor",
        {"command": "view", "path": "/r/calc.py", "view_range": [2, 2]},
        "     2\t    return a + b",
        (2,),
    ),
]


@pytest.mark.parametrize(("name", "arguments", "result", "lines"), PARTS)
def test_every_way_to_read_a_part(name: str, arguments: dict[str, Any], result: str, lines: tuple[int, ...]) -> None:
    text = after((name, arguments, result)).find("/r/calc.py")
    assert text is not None and not text.whole
    assert tuple(sorted(text.lines)) == lines
    assert all(CALC.split("\n")[number - 1] == text.lines[number] for number in lines)


def test_parts_are_put_together_by_their_numbers() -> None:
    known = after(*[each[:3] for each in PARTS[:2]])
    assert pieces(known, "/r/calc.py") == ("def add(a, b):\n    return a + b\n",)


def test_the_last_lines_have_no_number_and_are_known() -> None:
    assert pieces(after(("Bash", {"command": "tail -n 1 /r/calc.py"}, "print(add(1, 2))\n")), "/r/calc.py") == (
        "print(add(1, 2))\n",
    )


EDITS: list[tuple[str, dict[str, Any] | str]] = [
    ("Edit", {"replace_all": False, "file_path": "/r/calc.py", "old_string": "a + b", "new_string": "a - b"}),
    ("edit", {"filePath": "/r/calc.py", "oldString": "a + b", "newString": "a - b"}),
    ("str_replace_editor", {"command": "str_replace", "path": "/r/calc.py", "old_str": "a + b", "new_str": "a - b"}),
    ("change_text", {"file": "/r/calc.py", "search": "a + b", "replace": "a - b"}),
    ("Write", {"file_path": "/r/calc.py", "content": CALC.replace("a + b", "a - b")}),
    (
        "apply_patch",
        "*** Begin Patch\n*** Update File: /r/calc.py\n@@\n def add(a, b):\n-    return a + b\n+    return a - b\n"
        "*** End Patch\n",
    ),
    (
        "exec_command",
        {
            "cmd": "apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: /r/calc.py\n-    return a + b\n"
            "+    return a - b\n*** End Patch\nEOF"
        },
    ),
]


@pytest.mark.parametrize(("name", "arguments"), EDITS)
def test_edits_are_applied(name: str, arguments: dict[str, Any] | str) -> None:
    known = after(READS[0], (name, arguments, "done"))
    assert pieces(known, "/r/calc.py") == (CALC.replace("a + b", "a - b"),)


@pytest.mark.parametrize(
    "result",
    [
        "<tool_use_error>String to replace not found in file.</tool_use_error>",
        "Error: oldString not found in content",
        "Process exited with code 1\nOutput:\n",
        "Failed to find expected lines in /r/calc.py",
    ],
)
@pytest.mark.parametrize(("name", "arguments"), EDITS)
def test_edits_that_failed_are_not(name: str, arguments: dict[str, Any] | str, result: str) -> None:
    assert pieces(after(READS[0], (name, arguments, result)), "/r/calc.py") == (CALC,)


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("git checkout main", False),
        ("sed -i s/a/b/ calc.py", False),
        ("sed -i s/a/b/ other.py", True),
        ("echo 1 > calc.py", False),
        ("rm calc.py", False),
        ("python -m pytest -q", True),
        ("grep -n add calc.py", True),
        ("ruff format", False),
    ],
)
def test_commands_that_may_change_a_file_make_it_forgotten(command: str, kept: bool) -> None:
    known = after(READS[0], ("Bash", {"command": command}, "x"))
    assert (known.find("/r/calc.py") is not None) is kept


def test_a_note_that_a_file_was_changed_makes_it_forgotten() -> None:
    note = (
        "ok\n<system-reminder>\nNote: /r/calc.py was modified, either by the user or by a linter.\n</system-reminder>"
    )
    assert after(READS[0], ("Bash", {"command": "ls"}, note)).find("/r/calc.py") is None


def test_a_part_is_murky_once_the_file_was_shown_in_a_form_that_is_not_read() -> None:
    known = after(PARTS[0][:3], ("Grep", {"pattern": "add"}, "/r/calc.py:5:print(add(1, 2))"))
    text = known.find("/r/calc.py")
    assert text is not None and text.murky
    whole = after(READS[0], ("Grep", {"pattern": "add"}, "/r/calc.py:5:print(add(1, 2))")).find("/r/calc.py")
    assert whole is not None and not whole.murky


def test_relative_paths_are_of_the_folder_that_the_client_names() -> None:
    known = after(("exec_command", {"cmd": "cat calc.py"}, CALC), opening="<environment_context>\n  <cwd>/r</cwd>\n")
    assert pieces(known, "/r/calc.py") == (CALC,) == pieces(known, "./calc.py")


def test_fenced_files_of_a_message_are_known_in_part() -> None:
    opening = "I have added these files:\n\ncalc.py\n```python\nx = 1\ny = 2\n```\n\nNot a file:\n```\nz\n```\n"
    known = after(opening=opening)
    assert pieces(known, "calc.py") == ("x = 1\ny = 2\n",)
    assert list(known.texts) == ["calc.py"] and not known.texts["calc.py"].whole


@pytest.mark.parametrize("result", ["", "\n", "(Bash completed with no output)", "<no output>"])
def test_an_output_without_text_is_no_file(result: str) -> None:
    assert after(("Bash", {"command": "cat /r/a"}, result)).find("/r/a") is None


def test_cut_results_are_no_whole_files() -> None:
    cut = after(("read", {"filePath": "/r/a"}, "<content>\n1: a\n\n(File has more lines. Use 'offset')\n</content>"))
    text = cut.find("/r/a")
    assert text is not None and not text.whole
    assert after(("Bash", {"command": "cat /r/a"}, "x\n… 120 tokens truncated …\ny\n")).find("/r/a") is None


@pytest.mark.parametrize(
    ("name", "parameters", "meaning"),
    [
        ("modify_file", ("path", "old_text", "new_text"), "replace"),
        ("patch", ("patch",), "patch"),
        ("view_image", ("path",), "read"),
        ("grep", ("pattern", "path"), None),
        ("replace_in_two_files", ("source_path", "old", "new"), None),
        ("execute_command", ("command", "requires_approval"), "shell"),
        ("write_to_file", ("path", "content"), "write"),
    ],
)
def test_tools_of_unknown_clients_are_told_by_their_shape(name: str, parameters: tuple[str, ...], meaning: str) -> None:
    roles = roles_of(name, parameters)
    assert (roles.meaning if roles is not None else None) == meaning


lines = st.lists(st.sampled_from(["a", "b", "  c", "", "d = 1"]), min_size=1, max_size=12)


@given(lines, st.booleans(), st.data())
def test_a_replacement_in_what_is_known_is_that_of_the_file(shown: list[str], ended: bool, data: st.DataObject) -> None:
    content = "\n".join(shown) + ("\n" if ended else "")
    begin = data.draw(st.integers(0, max(0, len(content) - 1)))
    old = content[begin : data.draw(st.integers(begin + 1, max(begin + 1, len(content))))]
    new = data.draw(st.sampled_from(["", "x", "x\ny", "\n"]))
    if not old:
        return
    changed = KnownText.of(content).replaced(old, new, everywhere=True)
    assert changed is not None and changed.pieces == (content.replace(old, new),)


@given(lines, st.data())
def test_pieces_of_a_part_are_text_of_the_file(shown: list[str], data: st.DataObject) -> None:
    content = "\n".join(shown) + "\n"
    known = KnownText()
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(1, len(shown)))
        last = data.draw(st.integers(first, len(shown)))
        known = known.shown(first, "\n".join(shown[first - 1 : last]), exact=False)
    assert all(piece in content for piece in known.pieces)
