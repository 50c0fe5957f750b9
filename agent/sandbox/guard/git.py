"""Which calls of git may destroy work that is not committed, history, or what others have. Runs no git."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

_TAKE_VALUE = {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--super-prefix", "--config-env"}

_UNCOMMITTED = "throws away changes that are not committed"
_HISTORY = "rewrites history"


def git_effect(arguments: Sequence[str]) -> str:
    """What a call of git would destroy; empty if nothing."""
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        rest = rest[2:] if rest[0] in _TAKE_VALUE else rest[1:]
    if not rest:
        return ""
    rule = _RULES.get(rest[0])
    return rule(rest[1:]) if rule is not None else ""


def _has(arguments: Sequence[str], *options: str) -> bool:
    """Whether an option is given: long ones also shortened or with a value, letters also in a bundle."""
    for word in arguments:
        if word == "--":
            return False
        for option in options:
            if option.startswith("--"):
                name = word.partition("=")[0]
                if len(name) > 4 and option.startswith(name):
                    return True
            elif re.fullmatch(r"-[A-Za-z]+", word) and option[1] in word[1:]:
                return True
    return False


def _reset(words: Sequence[str]) -> str:
    if _has(words, "--hard", "--merge", "--keep"):
        return _UNCOMMITTED
    named = [word for word in words if not word.startswith("-") and word != "HEAD"]
    return "moves the branch to another commit, or empties parts of the index" if named else ""


def _clean(words: Sequence[str]) -> str:
    return "" if _has(words, "-n", "--dry-run") else "deletes files that git does not know"


def _checkout(words: Sequence[str]) -> str:
    if _has(words, "-f", "--force"):
        return _UNCOMMITTED
    if _has(words, "-B"):
        return "moves an existing branch"
    if "--" in words or _has(words, "--ours", "--theirs", "-p", "--patch", "--pathspec-from-file"):
        return _UNCOMMITTED
    if _has(words, "-b", "--orphan", "--track", "-t", "--detach"):
        return ""
    names = [word for word in words if not word.startswith("-")]
    looks_like_a_path = any(word in {".", ":/"} or re.search(r"[*]|\.\w{1,5}$|/$", word) for word in names)
    return _UNCOMMITTED if len(names) > 1 or looks_like_a_path else ""


def _restore(words: Sequence[str]) -> str:
    if _has(words, "--staged", "-S") and not _has(words, "--worktree", "-W"):
        return "empties parts of the index"
    return _UNCOMMITTED


def _switch(words: Sequence[str]) -> str:
    if _has(words, "--discard-changes", "-f", "--force"):
        return _UNCOMMITTED
    return "moves an existing branch" if _has(words, "-C", "--force-create") else ""


def _stash(words: Sequence[str]) -> str:
    verb = next((word for word in words if not word.startswith("-")), "push")
    effects = {
        "drop": "deletes stashed changes",
        "clear": "deletes all stashed changes",
        "pop": "applies stashed changes and deletes them from the stash",
        "push": "takes changes that are not committed out of the work tree",
        "save": "takes changes that are not committed out of the work tree",
    }
    return effects.get(verb, "")


def _branch(words: Sequence[str]) -> str:
    if _has(words, "-D", "-d", "--delete"):
        return "deletes a branch"
    return "overwrites or renames a branch" if _has(words, "-f", "--force", "-M", "-C", "-m", "--move") else ""


def _push(words: Sequence[str]) -> str:
    if _has(words, "-f", "--force", "--force-with-lease", "--force-if-includes", "--mirror"):
        return "overwrites what others have in the remote repository"
    if _has(words, "-d", "--delete", "--prune") or any(word.startswith((":", "+")) for word in words):
        return "deletes or overwrites branches of the remote repository"
    return "publishes commits"


def _worktree(words: Sequence[str]) -> str:
    return "deletes a work tree" if {"remove", "prune"} & set(words[:1]) else ""


def _commit(words: Sequence[str]) -> str:
    return _HISTORY if _has(words, "--amend") else ""


def _rebase(words: Sequence[str]) -> str:
    if {"--abort", "--quit"} & set(words):
        return "throws away a rebase in progress"
    return "" if "--show-current-patch" in words else _HISTORY


def _reflog(words: Sequence[str]) -> str:
    return "deletes the record from which lost commits are found" if {"expire", "delete"} & set(words[:1]) else ""


def _abort(words: Sequence[str]) -> str:
    return _UNCOMMITTED if _has(words, "--abort", "--quit", "--skip") else ""


def _read_tree(words: Sequence[str]) -> str:
    return _UNCOMMITTED if _has(words, "-u", "--reset") else "replaces the index"


def _submodule(words: Sequence[str]) -> str:
    if "deinit" in words:
        return "deletes the work tree of a submodule"
    return _UNCOMMITTED if "update" in words and _has(words, "-f", "--force") else ""


def _gc(words: Sequence[str]) -> str:
    return "deletes lost commits for good" if _has(words, "--prune", "--aggressive") else ""


def _tag(words: Sequence[str]) -> str:
    return "deletes or moves a tag" if _has(words, "-d", "--delete", "-f", "--force") else ""


def _remote(words: Sequence[str]) -> str:
    return "deletes or replaces a remote" if {"remove", "rm", "prune", "set-url"} & set(words[:1]) else ""


def _checkout_index(words: Sequence[str]) -> str:
    return _UNCOMMITTED if _has(words, "-f", "--force") else ""


def _rm(words: Sequence[str]) -> str:
    return "" if _has(words, "-n", "--dry-run") else "deletes files, or takes them out of the index"


def _always(effect: str) -> Callable[[Sequence[str]], str]:
    return lambda words: effect


_RULES: Mapping[str, Callable[[Sequence[str]], str]] = {
    "reset": _reset, "clean": _clean, "checkout": _checkout, "co": _checkout, "restore": _restore, "switch": _switch,
    "stash": _stash, "branch": _branch, "br": _branch, "push": _push, "worktree": _worktree, "commit": _commit,
    "ci": _commit, "rebase": _rebase, "reflog": _reflog, "merge": _abort, "cherry-pick": _abort, "am": _abort,
    "revert": _abort, "read-tree": _read_tree, "submodule": _submodule, "gc": _gc, "tag": _tag, "remote": _remote,
    "checkout-index": _checkout_index, "rm": _rm, "filter-branch": _always(_HISTORY), "filter-repo": _always(_HISTORY),
    "replace": _always(_HISTORY), "update-ref": _always("moves or deletes a ref"), "mv": _always("moves files"),
    "symbolic-ref": _always("moves HEAD"), "prune": _always("deletes lost commits for good"),
    "update-index": _always("changes the index"), "fast-import": _always("writes refs"),
    "send-email": _always("sends mail"), "svn": _always("talks to another repository"),
}  # fmt: skip
