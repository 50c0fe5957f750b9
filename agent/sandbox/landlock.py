"""Landlock: a process takes rights on the file system away from itself. Knows no command."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.agent.sandbox import kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_MAKE_DEVICES = (1 << 6) | (1 << 11)
_SCOPES = 0b11
_PATH_BENEATH = 1


@dataclass(frozen=True)
class Rights:
    """What may be read, what may be changed, and which devices may be used; everything else is out of reach."""

    read: Sequence[str] = ()
    write: Sequence[str] = ()
    devices: Sequence[str] = ()


def abi() -> int:
    """The version of Landlock that the kernel speaks, 0 for none."""
    if not kernel.known_machine():
        return 0
    try:
        return kernel.call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def restrict(rights: Rights, version: int, network: bool = False) -> None:
    """Hold this process, and all that it starts, to the rights. Needs no_new_privs.

    ``network``: TCP is allowed; otherwise binding and connecting are refused from ABI 4 on.
    """
    handled = _handled(version)
    ports = 0b11 if version >= 4 and not network else 0
    words = [handled, *([ports] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    attributes = struct.pack(f"={len(words)}Q", *words)
    ruleset = kernel.call("landlock_create_ruleset", attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for path in rights.read:
            _grant(ruleset, path, _READ & handled)
        for path in rights.write:
            _grant(ruleset, path, handled & ~_MAKE_DEVICES & ~_IOCTL)
        for path in rights.devices:
            _grant(ruleset, path, handled & (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL))
        kernel.call("landlock_restrict_self", ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _handled(version: int) -> int:
    rights = (1 << 13) - 1
    if version >= 2:
        rights |= _REFER
    if version >= 3:
        rights |= _TRUNCATE
    if version >= 5:
        rights |= _IOCTL
    return rights


def _grant(ruleset: int, path: str, rights: int) -> None:
    """A right on a path that is there; a symbolic link grants nothing."""
    try:
        target = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        mode = os.fstat(target).st_mode
        if stat.S_ISLNK(mode):
            return
        if not stat.S_ISDIR(mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, target)
        kernel.call("landlock_add_rule", ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(target)
