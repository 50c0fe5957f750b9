"""From a shell command line to the programs that it calls, wherever in it they stand. Judges nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

_BASH = Language(tree_sitter_bash.language())
_DEPTH = 8
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SPELLED = re.compile(r"_u([0-9a-f]{6})_")
"""Other characters are spelled out for the parser, whose scanner reads outside of its tables for some of them."""

_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash", "fish"))
_SKIPPED_OPTIONS = {
    "env": "uSC", "sudo": "ugpCThRr", "doas": "uC", "nice": "n", "ionice": "cnp", "timeout": "ks", "stdbuf": "ioe",
    "xargs": "IinLPdaEs", "time": "fo", "nohup": "", "setsid": "", "command": "", "exec": "a", "builtin": "",
    "busybox": "", "toybox": "", "chrt": "", "taskset": "", "unbuffer": "", "caffeinate": "", "strace": "eop",
    "watch": "n", "flock": "w", "parallel": "jI", "noglob": "", "nocorrect": "", "then": "", "do": "", "else": "",
}  # fmt: skip
"""Programs that run the command behind them, with the letters of their options that take a value."""

_NO_WORDS = frozenset(("variable_assignment", "file_redirect", "herestring_redirect", "heredoc_redirect"))
_POSITIONS = {"timeout": 1, "flock": 1, "taskset": 1, "chrt": 1}


@dataclass(frozen=True)
class Call:
    """One program with its arguments. What only the shell will know stands as it is written ($X, *)."""

    words: tuple[str, ...]
    text: str
    writes: tuple[str, ...] = field(default=())
    """Files that redirections of this call empty."""
    from_pipe: bool = False
    """Its input comes from another program, and arguments may too (xargs)."""

    @property
    def name(self) -> str:
        """The program, without its folder."""
        return self.words[0].rpartition("/")[2] if self.words else ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """All but the program."""
        return self.words[1:]


def calls(command: str | Sequence[str]) -> Iterator[Call]:
    """Every call of a command line (text, as a shell reads it) or of one command (its words)."""
    if isinstance(command, str):
        yield from _of_text(command, 0)
    else:
        yield from _unwrapped(Call(tuple(command), " ".join(command)), 0)


def _of_text(text: str, depth: int) -> Iterator[Call]:
    if depth > _DEPTH:
        return
    tree = Parser(_BASH).parse(_NOT_ASCII.sub(_spelled, text).encode("ascii"))
    pending = [tree.root_node]
    while pending:
        node = pending.pop()
        pending += reversed(node.children)
        if node.type == "command":
            yield from _unwrapped(_call(node), depth)
            yield from _fed_text(node, node, depth)
        elif node.type == "redirected_statement":
            command = next((each for each in node.children if each.type == "command"), None)
            if command is None:
                yield Call((), _text(node), _written(node))
            else:
                yield from _fed_text(node, command, depth)
        elif node.type == "pipeline":
            yield from _piped_text(node, depth)


def _call(node: Node) -> Call:
    words = [word for child in node.children if child.type not in _NO_WORDS
             for word in [_word(child)]]  # fmt: skip
    parent = node.parent
    writes = _written(node)
    if parent is not None and parent.type == "redirected_statement":
        writes += _written(parent)
        parent = parent.parent
    piped = parent is not None and parent.type == "pipeline" and parent.named_children[0] not in (node, node.parent)
    return Call(tuple(words), _text(node), writes, piped)


def _written(node: Node) -> tuple[str, ...]:
    """Files that redirections below ``node`` open for writing from their start."""
    found = []
    for child in node.children:
        if child.type == "file_redirect" and any(each.type in {">", ">|", "&>"} for each in child.children):
            target = child.child_by_field_name("destination")
            if target is not None and not _text(target).isdigit():
                found.append(_word(target))
    return tuple(found)


def _piped_text(node: Node, depth: int) -> Iterator[Call]:
    """``echo TEXT | sh``: the text is what runs."""
    parts = [each for each in node.named_children if each.type == "command"]
    if len(parts) >= 2 and _call(parts[-1]).name in _SHELLS:
        source = _call(parts[-2])
        if source.name in {"echo", "printf"}:
            yield from _of_text(" ".join(source.arguments).replace("\\n", "\n"), depth + 1)


def _fed_text(node: Node, command: Node, depth: int) -> Iterator[Call]:
    """``sh <<END`` and ``sh <<< TEXT``."""
    if _call(command).name not in _SHELLS:
        return
    pending = list(node.children)
    while pending:
        child = pending.pop()
        if child.type == "heredoc_body":
            yield from _of_text(_text(child), depth + 1)
        elif child.type == "herestring_redirect":
            yield from _of_text(_word(child.named_children[-1]), depth + 1)
        elif child.type == "heredoc_redirect":
            pending += child.children


def _unwrapped(call: Call, depth: int) -> Iterator[Call]:
    """The call, or what it runs on behalf of another: ``env X=1 nice sh -c '...'``."""
    words = call.words
    while words and (name := words[0].rpartition("/")[2]) in _SKIPPED_OPTIONS:
        behind = _behind(name, words[1:])
        if not behind:
            break
        call = replace(call, from_pipe=call.from_pipe or name in {"xargs", "parallel"})
        words = behind
    words = tuple(_without_assignments(words))
    call = replace(call, words=words)
    yield call
    if depth > _DEPTH:
        return
    for text in _carried(call):
        yield from _of_text(text, depth + 1)
    for inner in _executed(call):
        yield from _unwrapped(replace(call, words=inner, writes=()), depth + 1)


def _behind(name: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The command that a wrapper runs."""
    with_value, index, positions = _SKIPPED_OPTIONS[name], 0, _POSITIONS.get(name, 0)
    while index < len(arguments):
        word = arguments[index]
        if word == "--":
            index += 1
            break
        if word.startswith("-") and len(word) > 1:
            index += 2 if len(word) == 2 and word[1] in with_value else 1
        elif name in {"env", "sudo"} and re.match(r"\w+=", word):
            index += 1
        elif positions:
            positions -= 1
            index += 1
        else:
            break
    return tuple(arguments[index:])


def _without_assignments(words: Sequence[str]) -> Sequence[str]:
    index = 0
    while index < len(words) and re.match(r"[A-Za-z_]\w*=", words[index]):
        index += 1
    return words[index:]


def _carried(call: Call) -> Iterator[str]:
    """Command lines among the arguments."""
    if call.name in _SHELLS:
        for index, word in enumerate(call.arguments[:-1]):
            if re.fullmatch(r"-[a-z]*c[a-z]*", word):
                yield call.arguments[index + 1]
                break
    elif call.name == "eval":
        yield " ".join(call.arguments)
    elif call.name in {"trap", "watch", "ssh"} and call.arguments:
        yield call.arguments[0] if call.name == "trap" else call.arguments[-1]
    elif call.name == "git":
        for word in call.arguments:
            if re.match(r"alias\.[\w-]+=!", word):
                yield word.partition("=!")[2]
            elif alias := re.match(r"alias\.[\w-]+=(.+)", word):
                yield f"git {alias[1]}"


def _executed(call: Call) -> Iterator[tuple[str, ...]]:
    """Commands that find and git run for each of something."""
    words = call.words
    for index, word in enumerate(words):
        if call.name in {"find", "fd"} and word in {"-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec"}:
            end = next((i for i in range(index + 1, len(words)) if words[i] in {";", "+", "\\;"}), len(words))
            yield words[index + 1 : end]
    if call.name == "git" and "foreach" in words:
        yield from (("sh", "-c", " ".join(words[words.index("foreach") + 1 :])),)
    if call.name == "git" and "bisect" in words and "run" in words:
        yield words[words.index("run") + 1 :]
    if call.name == "git" and "rebase" in words:
        yield from (("sh", "-c", words[i + 1]) for i in range(len(words) - 1) if words[i] in {"-x", "--exec"})


def _word(node: Node) -> str:
    """A word without its quotes."""
    if node.type in {"command_name", "concatenation", "string"}:
        inner = [each for each in node.children if each.type != '"']
        return "".join(_word(each) for each in inner) if inner else _text(node).strip("\"'")
    text = _text(node)
    if node.type == "raw_string":
        return text[1:-1]
    if node.type == "ansi_c_string":
        return text[2:-1].encode("utf-8", "replace").decode("unicode_escape", "replace")
    if node.type == "string_content":
        return re.sub(r'\\(["\\$`])', r"\1", text)
    return re.sub(r"\\(.)", r"\1", text) if node.type == "word" else text


def _text(node: Node) -> str:
    return _SPELLED.sub(_unspelled, (node.text or b"").decode("ascii"))


def _spelled(match: re.Match[str]) -> str:
    return f"_u{ord(match[0]):06x}_"


def _unspelled(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if 127 < code <= sys.maxunicode else match[0]
