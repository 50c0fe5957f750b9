"""System calls that Python has no name for, by number and through ctypes, on x86_64 and aarch64. Knows no policy."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping

PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 1, 24
PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 22, 36, 38, 47

_X86_64 = (
    "read=0 write=1 ioctl=16 msgget=68 shmget=29 shmat=30 shmctl=31 semget=64 semop=65 semctl=66 shmdt=67 msgsnd=69 "
    "msgrcv=70 msgctl=71 socket=41 connect=42 bind=49 socketpair=53 clone=56 kill=62 chmod=90 fchmod=91 chown=92 "
    "fchown=93 lchown=94 truncate=76 ptrace=101 syslog=103 utime=132 mknod=133 personality=135 setpriority=141 "
    "sched_setparam=142 sched_setscheduler=144 vhangup=153 modify_ldt=154 pivot_root=155 adjtimex=159 chroot=161 "
    "acct=163 settimeofday=164 mount=165 umount2=166 swapon=167 swapoff=168 reboot=169 sethostname=170 "
    "setdomainname=171 iopl=172 ioperm=173 init_module=175 delete_module=176 quotactl=179 setxattr=188 lsetxattr=189 "
    "fsetxattr=190 removexattr=197 lremovexattr=198 fremovexattr=199 tkill=200 sched_setaffinity=203 io_setup=206 "
    "lookup_dcookie=212 semtimedop=220 clock_settime=227 tgkill=234 utimes=235 mq_open=240 mq_unlink=241 "
    "kexec_load=246 add_key=248 request_key=249 keyctl=250 ioprio_set=251 migrate_pages=256 mknodat=259 fchownat=260 "
    "futimesat=261 "
    "fchmodat=268 unshare=272 move_pages=279 utimensat=280 rt_sigqueueinfo=129 rt_tgsigqueueinfo=297 "
    "perf_event_open=298 fanotify_init=300 prlimit64=302 open_by_handle_at=304 clock_adjtime=305 setns=308 "
    "process_vm_readv=310 process_vm_writev=311 kcmp=312 finit_module=313 sched_setattr=314 memfd_create=319 "
    "kexec_file_load=320 bpf=321 userfaultfd=323"
)
_AARCH64 = (
    "read=63 write=64 ioctl=29 msgget=186 shmget=194 shmat=196 shmctl=195 semget=190 semop=193 semctl=191 shmdt=197 "
    "msgsnd=189 msgrcv=188 msgctl=187 socket=198 connect=203 bind=200 socketpair=199 clone=220 kill=129 fchmod=52 "
    "fchown=55 truncate=45 ptrace=117 syslog=116 personality=92 setpriority=140 sched_setparam=118 "
    "sched_setscheduler=119 vhangup=58 pivot_root=41 adjtimex=171 chroot=51 acct=89 settimeofday=170 mount=40 "
    "umount2=39 swapon=224 swapoff=225 reboot=142 sethostname=161 setdomainname=162 init_module=105 "
    "delete_module=106 quotactl=60 setxattr=5 lsetxattr=6 fsetxattr=7 removexattr=14 lremovexattr=15 fremovexattr=16 "
    "tkill=130 sched_setaffinity=122 io_setup=0 lookup_dcookie=18 semtimedop=192 clock_settime=112 tgkill=131 "
    "mq_open=180 mq_unlink=181 kexec_load=104 add_key=217 request_key=218 keyctl=219 ioprio_set=30 migrate_pages=238 "
    "mknodat=33 fchownat=54 fchmodat=53 unshare=97 move_pages=239 utimensat=88 rt_sigqueueinfo=138 "
    "rt_tgsigqueueinfo=240 perf_event_open=241 fanotify_init=262 prlimit64=261 open_by_handle_at=265 "
    "clock_adjtime=266 setns=268 process_vm_readv=270 process_vm_writev=271 kcmp=272 finit_module=273 "
    "sched_setattr=274 memfd_create=279 kexec_file_load=294 bpf=280 userfaultfd=282"
)
_BOTH = (
    "pidfd_send_signal=424 io_uring_setup=425 io_uring_enter=426 io_uring_register=427 open_tree=428 move_mount=429 "
    "fsopen=430 fsconfig=431 fsmount=432 fspick=433 clone3=435 pidfd_getfd=438 process_madvise=440 mount_setattr=442 "
    "quotactl_fd=443 landlock_create_ruleset=444 landlock_add_rule=445 landlock_restrict_self=446 memfd_secret=447 "
    "process_mrelease=448 fchmodat2=452 setxattrat=463 removexattrat=466 open_tree_attr=467 file_setattr=469"
)
_ARCHITECTURES: Mapping[str, tuple[str, int]] = {"x86_64": (_X86_64, 0xC000003E), "aarch64": (_AARCH64, 0xC00000B7)}
_LIBC = ctypes.CDLL(None, use_errno=True)


def machine() -> str:
    """The processor architecture as the kernel names it."""
    return platform.machine()


def known_machine(name: str | None = None) -> bool:
    """Whether the system call numbers of this machine are known here."""
    return (name or machine()) in _ARCHITECTURES and os.name == "posix" and platform.system() == "Linux"


def numbers(name: str | None = None) -> dict[str, int]:
    """System call numbers by name; what an architecture lacks is left out."""
    table = _ARCHITECTURES[name or machine()][0]
    return {key: int(value) for key, value in (pair.split("=") for pair in (table + " " + _BOTH).split())}


def audit_arch(name: str | None = None) -> int:
    """The architecture as seccomp sees it."""
    return _ARCHITECTURES[name or machine()][1]


def call(name: str, *arguments: object) -> int:
    """A system call; raises OSError as Python's own do."""
    return _checked(_LIBC.syscall(ctypes.c_long(numbers()[name]), *arguments), name)


def prctl(option: int, *arguments: object) -> int:
    """prctl(2); the arguments not given are 0."""
    padded = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_LIBC.prctl(option, *padded), f"prctl({option})")


def drop_capabilities() -> None:
    """No capability is left, and none can be had again."""
    prctl(PR_CAP_AMBIENT, 4)
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except PermissionError:  # the bounding set is only root's to lower; no_new_privs keeps it out of reach
            break
        except OSError:  # beyond the last one
            break
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _checked(_LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def _checked(result: int, name: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
