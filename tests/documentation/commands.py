"""Finds the ``dovetail`` commands in a shell block and reads them as the command line would, without doing what they say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import typer.main

from dovetail.serve.cli import app

_COMMENT = re.compile(r"(^|\s)#\s.*$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)
_PROMPT = re.compile(r"^\$ ", re.MULTILINE)


def dovetail_commands(text: str, language: str) -> Iterator[list[str]]:
    """The words of each ``dovetail ...`` in a block."""
    if language == "console":
        text = "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))
    lexer = shlex.shlex(_COMMENT.sub(r"\1", text).replace("\\\n", " "), posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace = " \t"
    lexer.commenters = ""
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, "\n"]:
        if token and not set(token) <= set(";&|()\n"):
            words.append(token)
            continue
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        if words and words[0].rsplit("/", 1)[-1] == "dovetail" and words[0] != "/":
            yield words[1:]
        words = []


def parse(words: list[str]) -> tuple[str, Mapping[str, Any]]:
    """The command's name and what it was given; raises typer's own errors for what it would not take."""
    if "<" in words or ">" in words:
        words = words[: min(words.index(each) for each in "<>" if each in words)]
    command: Any = typer.main.get_command(app)
    context = None
    name = "dovetail"
    if words == ["--version"]:
        return name, {}
    while hasattr(command, "commands"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        name, words = words[0], words[1:]
        found = command.commands.get(name)
        if found is None:
            raise ValueError(f"there is no command {name!r}")
        command = found
    return name, command.make_context(name, list(words), parent=context).params
