"""Which paths of the machine a contained command sees, and which of its work tree it may not change."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Programs and libraries, read-only."""

_SETTINGS = (
    "ld.so.cache ld.so.conf ld.so.conf.d alternatives nsswitch.conf localtime timezone os-release debian_version "
    "mime.types magic protocols services shells profile bash.bashrc inputrc terminfo fonts java-17-openjdk "
    "java-21-openjdk python3 perl ssl/certs ssl/openssl.cnf ca-certificates pki/tls/certs crypto-policies "
    "locale.conf default/locale login.defs"
)
SETTINGS = tuple(f"/etc/{name}" for name in (*_SETTINGS.split(), *(f"python3.{minor}" for minor in range(9, 16))))
"""What programs read in /etc. Accounts are made up, or shown without their passwords; the rest stays out of sight."""

NETWORK_SETTINGS = ("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf")

PROTECTED = (".git", "dovetail.toml", "policy.toml", ".dovetail")
"""Paths of a work tree that no command may change, and none may make."""

TOOLS = (".venv", "venv", "node_modules")
"""Installed tools of a project: what a command plants there would run outside later."""

_FOLDERS_OF_MANY = "/ /boot /dev /etc /home /media /mnt /opt /proc /root /run /srv /sys /tmp /var /Users"
_TOO_MUCH = frozenset((*_FOLDERS_OF_MANY.split(), *SYSTEM))
_TOOLCHAINS = (
    ".pyenv/versions",
    ".rustup",
    ".cargo/bin",
    ".nvm/versions",
    ".local/share/uv/python",
    "go/pkg/mod",
    ".local/bin",
)


@dataclass(frozen=True)
class Places:
    """The paths for one work tree, all absolute and there."""

    root: Path
    readable: tuple[Path, ...]
    """Outside the tree, beside ``SYSTEM`` and ``SETTINGS``."""
    protected: tuple[Path, ...]
    """Below the tree, read-only."""
    absent: tuple[Path, ...] = field(default=())
    """Protected too, but not there: whoever makes one has it taken away."""


def places(root: Path, readable: Sequence[Path] = (), protected: Sequence[str] = ()) -> Places:
    """What holds for a work tree, with more to show and more to protect.

    Raises:
        ValueError: a path to protect lies outside the tree, or the tree is a folder that holds a whole system or home.
    """
    root = root.resolve(strict=True)
    if str(root) in _TOO_MUCH or root == Path.home().resolve():
        raise ValueError(f"{root} is too much to hand to a command: choose the folder of one project")
    wanted = [_below(root, name) for name in (*PROTECTED, *TOOLS, *protected)]
    there = tuple(dict.fromkeys(path for path in wanted if os.path.exists(path) and not path.is_symlink()))
    absent = tuple(dict.fromkeys(path for path in wanted if not os.path.lexists(path) and path.name not in TOOLS))
    seen = [path for path in (*readable, *_toolchains(root), *_git_folders(root)) if os.path.exists(path)]
    return Places(root, tuple(_outermost(root, seen)), there, absent)


def _below(root: Path, name: str) -> Path:
    path = Path(os.path.normpath(root / name))
    if path == root or not path.is_relative_to(root) or not path.parent.resolve().is_relative_to(root):
        raise ValueError(f"the protected path {name!r} does not lie below {root}")
    return path


def _toolchains(root: Path) -> Iterator[Path]:
    """The interpreter of this process and of the project's own environment, and what PATH offers from a home."""
    yield from (Path(os.path.normpath(each)) for each in (sys.base_prefix, sys.prefix))
    for name in TOOLS:
        python = root / name / "bin" / "python"
        if os.path.exists(python):
            yield python.resolve().parent.parent
    yield from (Path.home() / name for name in _TOOLCHAINS)


def _git_folders(root: Path) -> Iterator[Path]:
    """Where the repository of a linked work tree lies."""
    link = root / ".git"
    if link.is_file():
        text = link.read_text("utf-8", "replace").strip()
        if text.startswith("gitdir: "):
            folder = (root / text.removeprefix("gitdir: ")).resolve()
            yield folder.parent.parent if folder.parent.name == "worktrees" else folder


def _outermost(root: Path, paths: Sequence[Path]) -> Iterator[Path]:
    """Each path once, without those that are shown anyway."""
    shown = [root, *(Path(each) for each in SYSTEM)]
    for path in sorted({path.resolve() for path in paths}, key=lambda path: len(path.parts)):
        if len(path.parts) < 2 or root.is_relative_to(path):
            continue
        if not any(path.is_relative_to(each) for each in shown):
            shown.append(path)
            yield path
