"""A seccomp filter as a small BPF program: which system calls a contained command is refused. Knows no file system."""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dovetail.agent.sandbox import kernel

_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH = 0, 4
_X32 = 0x40000000

_AF_UNIX = 1
_NEW_NAMESPACES = 0x7E020080
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into somebody's terminal."""

ALWAYS = (
    "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp process_madvise process_mrelease "
    "mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr "
    "unshare setns kexec_load kexec_file_load reboot init_module finit_module delete_module swapon swapoff acct "
    "quotactl quotactl_fd syslog settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname vhangup "
    "bpf perf_event_open userfaultfd keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register "
    "fanotify_init open_by_handle_at lookup_dcookie modify_ldt iopl ioperm move_pages migrate_pages memfd_secret"
)
"""Refused under every backend."""

_SHARED_WITH_THE_MACHINE = (
    "msgget msgsnd msgrcv msgctl shmget shmat shmctl shmdt semget semop semctl semtimedop mq_open mq_unlink"
)
_METADATA = (
    "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat "
    "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr setxattrat removexattrat file_setattr"
)
_SIGNALS = "tkill tgkill pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo"
_OTHERS_SCHEDULING = "sched_setparam sched_setscheduler sched_setaffinity sched_setattr prlimit64"


@dataclass(frozen=True)
class Refusals:
    """What beside ``ALWAYS`` is refused: for a backend without namespaces of its own."""

    sockets: bool = False
    """Every socket but connected pairs."""
    unix_sockets: bool = False
    """Sockets of the machine's programs (containers, desktop, agents of keys), where the others are allowed."""
    ipc: bool = False
    metadata: bool = False
    """Mode, owner, times and attributes of files: Landlock does not hold these."""
    scheduling: bool = False
    """Limits and priorities of other processes."""
    signals: bool = False
    """Signals to other processes than those of one's own process group: for a Landlock without scopes."""
    truncate: bool = False
    """truncate(2), for a Landlock that does not hold it."""


def program(refusals: Refusals, machine: str | None = None) -> bytes:
    """The filter, as the kernel reads it."""
    numbers = kernel.numbers(machine)
    code = [
        _instruction(_LOAD, _ARCH),
        _instruction(_JUMP_EQUAL, kernel.audit_arch(machine), 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_GREATER_EQUAL, _X32, 0, 1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for name, body in _rules(refusals):
        if name in numbers:
            code += [_instruction(_JUMP_EQUAL, numbers[name], 0, len(body)), *body]
    code.append(_instruction(_RETURN, _ALLOW))
    return b"".join(code)


def install(code: bytes) -> None:
    """Hold this process, and all that it becomes, to the filter. Needs no_new_privs."""
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, fprog)


def _rules(refusals: Refusals) -> Iterator[tuple[str, list[bytes]]]:
    for name in ("clone3", "memfd_create"):
        yield name, _refuse(errno.ENOSYS)
    yield "clone", [_argument(0), _instruction(_JUMP_ANY_BIT, _NEW_NAMESPACES, 0, 1), *_refuse(), _allow()]
    yield "ioctl", _refuse_values(1, _TERMINAL_INPUT)
    for name, mode in (("mknod", 1), ("mknodat", 2)):
        kind = [_argument(mode), _instruction(_AND, 0o170000)]
        yield name, [*kind, *_allow_value(0o010000), *_allow_value(0o100000), *_allow_value(0), *_refuse()]
    for name in ALWAYS.split():
        yield name, _refuse()
    if refusals.sockets:
        yield "socket", _refuse(errno.EACCES)
        yield "connect", _refuse(errno.EACCES)
        yield "bind", _refuse(errno.EACCES)
    elif refusals.unix_sockets:
        yield "socket", _refuse_values(0, (_AF_UNIX,))
    if refusals.sockets or refusals.unix_sockets:  # a datagram pair can be connected to another address; streams cannot
        stream = [_argument(1), _instruction(_AND, 0xF), *_allow_value(1), *_allow_value(5)]
        yield "socketpair", [*stream, *_refuse(errno.EACCES)]
    if refusals.ipc:
        yield from ((name, _refuse()) for name in _SHARED_WITH_THE_MACHINE.split())
    if refusals.metadata:
        yield from ((name, _refuse()) for name in _METADATA.split())
    if refusals.scheduling:
        yield from ((name, [_argument(0), *_allow_value(0), *_refuse()]) for name in _OTHERS_SCHEDULING.split())
        yield from ((name, [_argument(1), *_allow_value(0), *_refuse()]) for name in ("setpriority", "ioprio_set"))
    if refusals.signals:
        yield "kill", [_argument(0), *_allow_value(0), *_refuse()]
        yield from ((name, _refuse()) for name in _SIGNALS.split())
    if refusals.truncate:
        yield "truncate", _refuse()


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument(index: int) -> bytes:
    """Load the lower half of an argument: flags, families and process ids lie there."""
    return _instruction(_LOAD, 16 + 8 * index)


def _refuse(code: int = errno.EPERM) -> list[bytes]:
    return [_instruction(_RETURN, _ERRNO | code)]


def _allow() -> bytes:
    return _instruction(_RETURN, _ALLOW)


def _allow_value(value: int) -> list[bytes]:
    return [_instruction(_JUMP_EQUAL, value, 0, 1), _allow()]


def _refuse_values(argument: int, values: Iterable[int]) -> list[bytes]:
    body = [_argument(argument)]
    for value in values:
        body += [_instruction(_JUMP_EQUAL, value, 0, 1), *_refuse()]
    return [*body, _allow()]
