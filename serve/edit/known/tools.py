"""Which tools read, change and write files: a row per client's tool, and the shapes of tools from clients nobody has seen.

Knows names of tools and parameters; reads no conversation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Meaning = Literal["read", "replace", "write", "patch", "shell", "editor"]
"""``editor``: one tool whose ``command`` says what it does (view, create, str_replace, insert)."""


@dataclass(frozen=True, kw_only=True)
class ToolRoles:
    """What a tool does, and which of its parameters say what.

    ``text``: what is written, the patch, or the shell command. ``everywhere``: true replaces every occurrence.
    ``edits``: a list of objects that hold ``old``, ``new`` and ``everywhere``, each about what the one before it has left.
    ``first`` and ``count``: which lines are read. ``empty_old``: an empty old text has a meaning of its own (a new file).
    """

    meaning: Meaning
    path: str = ""
    old: str = ""
    new: str = ""
    everywhere: str = ""
    text: str = ""
    first: str = ""
    count: str = ""
    zero_based: bool = False
    empty_old: bool = False
    edits: str = ""

    @property
    def quotes(self) -> bool:
        """Whether its calls quote text of a file."""
        return self.meaning in ("replace", "editor", "patch")


@dataclass(frozen=True)
class KnownTool:
    """A row of the table: the tool of a client, by its exact name and the parameters that it must have."""

    client: str
    name: str
    roles: ToolRoles


KNOWN_TOOLS: tuple[KnownTool, ...] = (
    KnownTool("Claude Code", "Read", ToolRoles(meaning="read", path="file_path", first="offset", count="limit")),
    KnownTool(
        "Claude Code",
        "Edit",
        ToolRoles(meaning="replace", path="file_path", old="old_string", new="new_string", everywhere="replace_all"),
    ),
    KnownTool("Claude Code", "Write", ToolRoles(meaning="write", path="file_path", text="content")),
    KnownTool("Claude Code", "Bash", ToolRoles(meaning="shell", text="command")),
    KnownTool("opencode", "read", ToolRoles(meaning="read", path="filePath", first="offset", count="limit")),
    KnownTool(
        "opencode",
        "edit",
        ToolRoles(
            meaning="replace",
            path="filePath",
            old="oldString",
            new="newString",
            everywhere="replaceAll",
            empty_old=True,
        ),
    ),
    KnownTool("opencode", "write", ToolRoles(meaning="write", path="filePath", text="content")),
    KnownTool("opencode", "apply_patch", ToolRoles(meaning="patch", text="patchText")),
    KnownTool("opencode", "bash", ToolRoles(meaning="shell", text="command")),
    KnownTool(
        "qwen-code",
        "read_file",
        ToolRoles(meaning="read", path="file_path", first="offset", count="limit", zero_based=True),
    ),
    KnownTool(
        "qwen-code",
        "edit",
        ToolRoles(meaning="replace", path="file_path", old="old_string", new="new_string", everywhere="replace_all"),
    ),
    KnownTool("qwen-code", "write_file", ToolRoles(meaning="write", path="file_path", text="content")),
    KnownTool("qwen-code", "run_shell_command", ToolRoles(meaning="shell", text="command")),
    KnownTool("Codex", "exec_command", ToolRoles(meaning="shell", text="cmd")),
    KnownTool("Codex", "shell", ToolRoles(meaning="shell", text="command")),
    KnownTool("Codex", "apply_patch", ToolRoles(meaning="patch", text="input")),
    KnownTool(
        "Anthropic's text editor",
        "str_replace_editor",
        ToolRoles(meaning="editor", path="path", old="old_str", new="new_str", text="file_text"),
    ),
    KnownTool(
        "Anthropic's text editor",
        "str_replace_based_edit_tool",
        ToolRoles(meaning="editor", path="path", old="old_str", new="new_str", text="file_text"),
    ),
)

_PATHS = ("path", "filepath", "file", "filename", "targetfile", "absolutepath", "relativepath", "absolutefilepath")
_PAIRS = (
    ("oldstring", "newstring"),
    ("oldtext", "newtext"),
    ("oldstr", "newstr"),
    ("oldcontent", "newcontent"),
    ("oldcode", "newcode"),
    ("search", "replace"),
    ("find", "replace"),
    ("old", "new"),
)
_EVERYWHERE = ("replaceall", "allowmultiple", "all", "global", "multiple")
_CONTENTS = ("content", "contents", "filetext", "text", "code")
_PATCHES = ("patch", "patchtext", "diff", "input")
_COMMANDS = ("command", "cmd", "script")
_FIRST, _COUNT = ("offset", "startline", "start"), ("limit", "numlines", "lines")
_READS = re.compile(r"read|view|open|cat\b|show", re.IGNORECASE)
_WRITES = re.compile(r"write|create|save", re.IGNORECASE)
_CHANGES = re.compile(r"edit|write|replace|patch|insert|create|delete|remove|move|rename|format|append", re.IGNORECASE)
_SHELLS = re.compile(r"bash|shell|exec|terminal|run|command", re.IGNORECASE)


def roles_of(
    name: str, parameters: Collection[str], lists: Mapping[str, Collection[str]] | None = None
) -> ToolRoles | None:
    """What a tool of this name with these parameters does with files; None: nothing that is known here.

    ``lists``: those parameters that are lists of objects, and what these hold.
    """
    for row in KNOWN_TOOLS:
        roles = row.roles
        needed = [each for each in (roles.path, roles.old, roles.new) if each and roles.meaning != "editor"]
        needed += [roles.text] if roles.meaning in ("patch", "shell", "write") else []
        if row.name == name and all(each in parameters for each in needed):
            return roles
    return _by_shape(name, parameters) or _by_list(parameters, lists or {})


def changes_files(name: str) -> bool:
    """Whether a tool that is not known sounds as if it changed files."""
    return _CHANGES.search(name) is not None


def path_parameter(parameters: Collection[str]) -> str:
    """The one parameter that names a file; empty if none does, or several do."""
    found = [each for each in parameters if _plain(each) in _PATHS]
    return found[0] if len(found) == 1 else ""


def _by_shape(name: str, parameters: Collection[str]) -> ToolRoles | None:
    plain = {_plain(each): each for each in parameters}

    def named(*candidates: str) -> str:
        return next((plain[each] for each in candidates if each in plain), "")

    path = path_parameter(parameters)
    if path:
        for old, new in _PAIRS:
            if old in plain and new in plain:
                meaning: Meaning = "editor" if "command" in plain else "replace"
                return ToolRoles(
                    meaning=meaning,
                    path=path,
                    old=plain[old],
                    new=plain[new],
                    everywhere=named(*_EVERYWHERE),
                    text=named(*_CONTENTS),
                    empty_old=meaning == "replace",
                )
        if named(*_CONTENTS) and _WRITES.search(name):
            return ToolRoles(meaning="write", path=path, text=named(*_CONTENTS))
        if _READS.search(name) and not _CHANGES.search(name):
            return ToolRoles(meaning="read", path=path, first=named(*_FIRST), count=named(*_COUNT))
        return None
    if named(*_PATCHES) and "patch" in name.lower():
        return ToolRoles(meaning="patch", text=named(*_PATCHES))
    if named(*_COMMANDS) and _SHELLS.search(name):
        return ToolRoles(meaning="shell", text=named(*_COMMANDS))
    return None


def _by_list(parameters: Collection[str], lists: Mapping[str, Collection[str]]) -> ToolRoles | None:
    """A tool with one path and a list of edits."""
    path = path_parameter(parameters)
    for edits, held in lists.items() if path else ():
        plain = {_plain(each): each for each in held}
        for old, new in _PAIRS:
            if old in plain and new in plain:
                everywhere = next((plain[each] for each in _EVERYWHERE if each in plain), "")
                return ToolRoles(
                    meaning="replace", path=path, old=plain[old], new=plain[new], everywhere=everywhere, edits=edits
                )
    return None


def _plain(parameter: str) -> str:
    return re.sub(r"[^a-z]", "", parameter.lower())
