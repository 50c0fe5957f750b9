"""What a model that does as it is told would say: read the file, edit it with the tools at hand, finish.

Reads prompts as tests/e2e/template.jinja writes them. Knows no protocol: the dialect turns its text into calls.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

OLD, NEW = "def add(a, b):", "def plus(a, b):"
PROJECT = "dovetail-project"
"""The name of the folder that clients work in: agents tell the model its path."""

PATCH = f"*** Begin Patch\n*** Update File: calc.py\n@@\n-{OLD}\n+{NEW}\n*** End Patch\n"
DIFF = f"calc.py\n```python\n<<<<<<< SEARCH\n{OLD}\n=======\n{NEW}\n>>>>>>> REPLACE\n```\n"
BLOCK = f"calc.py\n<<<<<<< SEARCH\n{OLD}\n=======\n{NEW}\n>>>>>>> REPLACE\n"
WHOLE = f"calc.py\n```\n{NEW}\n    return a + b\n```\n"

_TOOL = re.compile(r"^@tool (\{.*\})$", re.MULTILINE)
_FOLDER = re.compile(rf"/[\w./+-]*/{PROJECT}\b")


@dataclass(frozen=True)
class Asked:
    """What a prompt shows: tools by name, results of calls so far, the model's own reasoning sent back to it."""

    tools: tuple[str, ...]
    results: tuple[str, ...]
    thoughts: int
    prompt: str

    @property
    def path(self) -> str:
        """The file, in the absolute form that most edit tools insist on."""
        folder = _FOLDER.search(self.prompt)
        return f"{folder.group() if folder else '.'}/calc.py"


def read_prompt(prompt: str) -> Asked:
    """A prompt's parts."""
    tools = tuple(json.loads(line)["function"]["name"] for line in _TOOL.findall(prompt))
    _, *turns = prompt.split("\n@result\n")
    return Asked(tools, tuple(turns), prompt.count("\n@thought\n"), prompt)


def answer(asked: Asked) -> str:
    """The next thing to say, with the reasoning before it; an edit alone where edits alone are asked for."""
    if "Answer with edit blocks only" in asked.prompt:
        return BLOCK
    steps = steps_of(asked)
    said = steps[min(len(asked.results), len(steps) - 1)]
    return f"<think>{len(asked.results)} results so far.</think>\n\n{said}"


def steps_of(asked: Asked) -> list[str]:
    """Everything to say in turn; a call for each tool result that is waited for."""
    tools = set(asked.tools)
    path = asked.path
    done = "Renamed add to plus in calc.py."
    if {"exec_command", "apply_patch"} <= tools:
        return [call("exec_command", cmd="cat calc.py"), call_with_input("apply_patch", PATCH), done]
    if "exec_command" in tools:
        return [
            call("exec_command", cmd="cat calc.py"),
            call("exec_command", cmd=f"apply_patch <<'EOF'\n{PATCH}EOF\n"),
            done,
        ]
    if {"Read", "Edit", "Checklist"} <= tools:
        return [call("Read", filepath=path), call("Edit", file_path=path, old_string=OLD, new_string=NEW), done]
    if {"Read", "Edit"} <= tools:
        return [call("Read", file_path=path), call("Edit", file_path=path, old_string=OLD, new_string=NEW), done]
    if {"read", "edit"} <= tools:
        return [call("read", filePath=path), call("edit", filePath=path, oldString=OLD, newString=NEW), done]
    if {"read_file", "edit", "agent"} <= tools:
        return [call("read_file", file_path=path), call("edit", file_path=path, old_string=OLD, new_string=NEW), done]
    if {"read_file", "edit_file"} <= tools:
        return [call("read_file", path="calc.py"), call("edit_file", path="calc.py", old_text=OLD, new_text=NEW), done]
    if "*SEARCH/REPLACE block*" in asked.prompt:
        return [f"The new name:\n\n{DIFF}"]
    if "*file listing*" in asked.prompt:
        return [f"The new name:\n\n{WHOLE}"]
    return ["Rename add to plus"]  # titles, commit messages, what there is to remember


def call(name: str, **arguments: str) -> str:
    """A call as Qwen's models write it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def call_with_input(name: str, text: str) -> str:
    """A call of a custom tool, whose input follows as it is."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": "below"}}\n{text}\n</tool_call>'
