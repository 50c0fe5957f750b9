"""Writes command-line.md, the reference of every command and option, from the commands themselves.

python docs/generators/list_commands.py            write the page
python docs/generators/list_commands.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from generated import NOTE, cell, code, keep

from dovetail.serve.cli import app

HEAD = """# The command line

{note}
`dovetail COMMAND --help` says the same. Exit codes: 0 done; 1 not done (declined, or the server refused); 2 wrong usage, unusable
file or configuration; 3 no server.

| command | |
|---|---|
"""

_TYPES = {bool: "", str: "text", int: "whole number", float: "number", Path: "path"}


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name."""
    for name, below in getattr(command, "commands", {}).items():
        if getattr(below, "commands", None):
            yield from commands(below, f"{path} {name}")
        else:
            yield f"{path} {name}", below


def words(parameter: Any) -> str:
    """The parameter as it is typed."""
    if parameter.param_type_name == "argument":
        return parameter.metavar or parameter.name.upper()
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def value(parameter: Any) -> str:
    """What is written behind it."""
    wanted = parameter.type_descriptor.annotation
    kind = parameter.metavar or _TYPES.get(wanted, getattr(wanted, "__name__", ""))
    if parameter.param_type_name == "argument" or not kind:
        kind = "" if wanted is bool else _TYPES.get(wanted, "")
    return f"{kind}, repeatable" if parameter.multiple and kind else kind


def default(parameter: Any) -> str:
    """What holds where it is not given."""
    if parameter.required:
        return "required"
    given = parameter.default
    return "" if given in (None, False, ()) or str(given) == "Ellipsis" else code(given)


def section(name: str, command: Any) -> str:
    """One command: what it does, and a table of what it takes."""
    usage = [name, *(words(each) for each in command.params if each.param_type_name == "argument")]
    lines = [f"\n## {name}\n\n{' '.join((command.help or '').split())}\n\n```text\n{' '.join(usage)} [OPTIONS]\n```\n"]
    if name == "dovetail serve":
        lines.append(
            "\nIts options are its settings, with their ranges and variables: [configuration.md](configuration.md).\n"
        )
        return "".join(lines)
    lines.append("\n| option | value | default | meaning |\n|---|---|---|---|\n")
    for each in command.params:
        meaning = cell(each.help or "")
        if each.envvar:
            meaning = f"{meaning} Variable: {code(each.envvar)}.".strip()
        lines.append(f"| {code(words(each))} | {cell(value(each))} | {default(each)} | {meaning} |\n")
    return "".join(lines)


def text() -> str:
    """The page."""
    found = list(commands(typer.main.get_command(app), "dovetail"))
    rows = []
    for name, command in found:
        anchor = name.replace(" ", "-")
        rows.append(f"| [`{name}`](#{anchor}) | {cell((command.help or '').split('. ')[0].rstrip('.'))} |\n")
    parts = [section(name, command) for name, command in found]
    return HEAD.format(note=NOTE.format(script="list_commands.py")) + "".join(rows) + "".join(parts)


if __name__ == "__main__":
    sys.exit(keep("command-line.md", text()))
