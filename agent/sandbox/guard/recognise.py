"""Whether a command line would destroy or publish somebody's work. Reads the line, and looks which files are there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dovetail.agent.sandbox.guard.calls import Call, calls
from dovetail.agent.sandbox.guard.finding import Finding
from dovetail.agent.sandbox.guard.git import git_effect

_HARMLESS = re.compile(
    r"/dev/(null|stdout|stderr|tty|fd/\d+|zero)|/tmp/.+|\$\{?TMPDIR\}?/.+"
    r"|(.*/)?(__pycache__|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.hypothesis|[^/]*\.py[co])/?"
)
_PUBLISH = {
    "npm": {"publish", "unpublish", "deprecate"}, "pnpm": {"publish"}, "yarn": {"publish"},
    "cargo": {"publish", "yank"}, "gem": {"push", "yank"},
    "twine": {"upload"}, "poetry": {"publish"}, "uv": {"publish"}, "flit": {"publish"},
    "hatch": {"publish"}, "docker": {"push", "rm", "rmi", "prune", "kill"}, "podman": {"push", "rm", "rmi", "prune"},
    "gh": {"delete", "merge", "close", "create", "edit"}, "kubectl": {"delete", "apply", "replace", "scale", "drain"},
    "helm": {"uninstall", "upgrade", "install"}, "terraform": {"destroy", "apply"},
    "mvn": {"deploy", "release:perform"}, "gradle": {"publish"}, "dotnet": {"nuget"},
    "aws": {"rm", "delete", "rb"}, "gcloud": {"delete", "deploy"},
    "heroku": {"destroy"}, "systemctl": {"stop", "disable", "restart"}, "dropdb": set(), "shutdown": set(),
    "reboot": set(), "mkfs": set(), "fdisk": set(), "wipefs": set(), "crontab": {"-r"},
}  # fmt: skip
_PROGRAM_TEXT = re.compile(
    r"rmtree|os\.remove|os\.unlink|\.unlink\(|os\.rename|os\.replace|shutil\.move|os\.truncate|rmSync|unlinkSync|"
    r"rmdirSync|fs\.rm|fs\.unlink|writeFileSync|FileUtils\.rm|File\.delete|\bunlink\b|open\([^)]*['\"]w|"
    r"write_text|write_bytes|"
    r"os\.system|subprocess|child_process|DROP\s+(TABLE|DATABASE)|TRUNCATE\s+TABLE|DELETE\s+FROM",
    re.IGNORECASE,
)
_INTERPRETERS = re.compile(r"python[\d.]*|pypy\d*|perl|ruby|node|deno|bun|php|lua|psql|mysql|sqlite3")
_FETCHERS = frozenset(("curl", "wget", "fetch"))
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh"))


def destructive(command: str | Sequence[str], root: Path | None = None) -> Finding | None:
    """What in a command needs consent; None if nothing was recognised, which does not mean that it is harmless.

    ``root``: the folder that the command starts in; with it, writing to a file that is not there needs no consent.
    """
    found = list(calls(command))
    downloads = any(call.name in _FETCHERS for call in found)
    for call in found:
        effect = _redirected(call, root) or _effect(call, root)
        if not effect and downloads and call.from_pipe and call.name in _SHELLS:
            effect = "download: runs a script that was just downloaded"
        if effect:
            kind, _, text = effect.partition(": ")
            return Finding(kind, text, call.text)
    return None


def _effect(call: Call, root: Path | None) -> str:
    """The rule's name and the effect."""
    if call.name == "git":
        effect = git_effect(call.arguments)
        return f"git: {effect}" if effect else ""
    rule = _RULES.get(call.name)
    if rule is not None:
        return rule(call, root)
    words = _PUBLISH.get(call.name.partition(".")[0])
    if words is not None and (not words or words & set(call.arguments)):
        return f"outside: {call.name} changes what lies outside the work tree, or publishes it"
    if call.name.startswith("python") and "-m" in call.arguments and {"twine", "upload"} <= set(call.arguments):
        return "outside: twine publishes a package"
    if _INTERPRETERS.fullmatch(call.name):
        return _interpreted(call)
    return ""


def _interpreted(call: Call) -> str:
    for index, word in enumerate(call.arguments):
        inline = word in {"-c", "-e", "-E", "-r", "--eval", "-pe", "-ne"} or re.fullmatch(r"-[pni]+e", word)
        if inline and any(_PROGRAM_TEXT.search(each) for each in call.arguments[index + 1 :]):
            return f"program: the text given to {call.name} deletes or overwrites, or runs other programs"
    if call.name in {"perl", "ruby"} and any(re.match(r"-[a-z]*i", word) for word in call.arguments):
        return f"overwrite: {call.name} -i rewrites files"
    return ""


def _redirected(call: Call, root: Path | None) -> str:
    for target in call.writes:
        if _counts(target, root):
            return f"overwrite: empties {target} before writing to it"
    return ""


def _counts(path: str, root: Path | None) -> bool:
    """Whether somebody's file may stand there."""
    if not path or _HARMLESS.fullmatch(path):
        return False
    if root is None or re.search(r"[$*?\[{`~]", path):
        return True
    return os.path.lexists(root / path)


def _targets(call: Call) -> list[str]:
    return [word for word in call.arguments if not word.startswith("-") or word == "-"]


def _remove(call: Call, root: Path | None) -> str:
    if call.from_pipe and not _targets(call):
        return f"delete: {call.name} deletes what another program names"
    counting = [path for path in _targets(call) if _counts(path, root)]
    return f"delete: deletes {', '.join(counting)}" if counting else ""


def _move(call: Call, root: Path | None) -> str:
    names = _targets(call)
    if any(re.match(r"-t|--target", word) for word in call.arguments) or len(names) > 2 or root is None:
        return f"overwrite: {call.name} may overwrite files" if len(names) > 1 or call.from_pipe else ""
    if len(names) < 2 or "-n" in call.arguments:
        return ""
    target = root / names[1]
    if target.is_dir():
        target = target / os.path.basename(names[0].rstrip("/"))
    moved = call.name == "mv" and _counts(names[0], root)
    if os.path.lexists(target) and not _HARMLESS.fullmatch(names[1]):
        return f"overwrite: overwrites {names[1]}"
    return f"move: moves {names[0]} away" if moved else ""


def _find(call: Call, root: Path | None) -> str:
    return "delete: find deletes what it finds" if "-delete" in call.arguments else ""


def _dd(call: Call, root: Path | None) -> str:
    target = next((word[3:] for word in call.arguments if word.startswith("of=")), "")
    return f"overwrite: dd overwrites {target}" if _counts(target, root) else ""


def _rights(call: Call, root: Path | None) -> str:
    everything = any(re.fullmatch(r"-[a-zA-Z]*R[a-zA-Z]*|--recursive", word) for word in call.arguments)
    return f"rights: {call.name} changes all files below a folder" if everything else ""


def _tee(call: Call, root: Path | None) -> str:
    if {"-a", "--append"} & set(call.arguments):
        return ""
    return next((f"overwrite: tee empties {path}" for path in _targets(call) if _counts(path, root)), "")


def _truncate(call: Call, root: Path | None) -> str:
    return next((f"overwrite: cuts {path}" for path in _targets(call)[-1:] if _counts(path, root)), "")


def _in_place(call: Call, root: Path | None) -> str:
    changes = any(re.match(r"-[a-zA-Z]*i|--in-place", word) for word in call.arguments)
    return "overwrite: sed -i rewrites files" if changes else ""


def _rsync(call: Call, root: Path | None) -> str:
    deletes = any(word.startswith(("--delete", "--remove", "--inplace")) for word in call.arguments)
    return "delete: rsync deletes what the source lacks" if deletes else ""


def _link(call: Call, root: Path | None) -> str:
    forced = any(re.fullmatch(r"-[a-zA-Z]*f[a-zA-Z]*|--force", word) for word in call.arguments)
    return "overwrite: ln -f replaces files" if forced else ""


def _unpack(call: Call, root: Path | None) -> str:
    letters = call.arguments[0].lstrip("-") if call.arguments else ""
    if call.name == "tar" and ("x" in letters or "--extract" in call.arguments):
        return "overwrite: tar overwrites files that it unpacks"
    return "overwrite: unzip -o overwrites files" if call.name == "unzip" and "-o" in call.arguments else ""


def _kill(call: Call, root: Path | None) -> str:
    return f"processes: {call.name} ends other programs"


_RULES: Mapping[str, Callable[[Call, Path | None], str]] = {
    "rm": _remove, "rmdir": _remove, "unlink": _remove, "shred": _remove, "srm": _remove, "trash": _remove,
    "del": _remove, "mv": _move, "cp": _move, "install": _move, "find": _find, "dd": _dd, "chmod": _rights,
    "chown": _rights, "chgrp": _rights, "setfacl": _rights, "tee": _tee, "truncate": _truncate, "sponge": _truncate,
    "sed": _in_place, "gsed": _in_place, "rsync": _rsync, "ln": _link, "tar": _unpack, "unzip": _unpack,
    "killall": _kill, "pkill": _kill,
}  # fmt: skip
