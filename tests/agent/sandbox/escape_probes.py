"""Attempts to get out of a sandbox. Runs inside of one and prints what came of each as JSON.

python escape_probes.py FACTS      FACTS: JSON about the machine outside, from escape_world.py
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = {}
PROBES: dict[str, Callable[[], object]] = {}
LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"


def probe(function: Callable[[], object]) -> Callable[[], object]:
    """An attempt: escaped if it returns something true; contained if it raises OSError or returns nothing."""
    PROBES[function.__name__] = function
    return function


def syscall(x86: int, arm: int, *arguments: object) -> int:
    result: int = LIBC.syscall(ctypes.c_long(x86 if X86 else arm), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def same_network() -> bool:
    return os.readlink("/proc/self/ns/net") == FACTS["network"]


def attempt(name: str) -> str:
    """One probe in a process of its own, so that none spoils the next."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(5)
        try:
            result = PROBES[name]()
            text = f"ESCAPED: {result!r}" if result else "contained: nothing was there"
        except OSError as error:
            text = f"contained: {error!r}"
        os.write(writing, text.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return text or f"contained: ended by signal {os.waitstatus_to_exitcode(status)}"


# Files outside -------------------------------------------------------------------------------------------------------


@probe
def read_shadow() -> object:
    return Path("/etc/shadow").read_text()


@probe
def read_a_file_of_the_user() -> object:
    return Path(FACTS["secret_file"]).read_text()


@probe
def list_the_home_of_the_user() -> object:
    return os.listdir(FACTS["home"])


@probe
def list_the_folder_for_temporary_files() -> object:
    return [name for name in os.listdir("/tmp") if name == FACTS["in_tmp"]]


@probe
def write_outside() -> object:
    return Path(FACTS["secret_file"]).write_text("x")


@probe
def create_outside() -> object:
    path = Path(FACTS["outside"]) / "made"
    path.write_text("x")
    return path


@probe
def delete_outside() -> object:
    os.unlink(FACTS["secret_file"])
    return "deleted"


@probe
def truncate_outside() -> object:
    os.truncate(FACTS["secret_file"], 1)
    return "truncated"


@probe
def change_the_mode_outside() -> object:
    os.chmod(FACTS["secret_file"], 0o777)
    return "changed"


@probe
def change_the_times_outside() -> object:
    os.utime(FACTS["secret_file"], (0, 0))
    return "changed"


@probe
def change_the_owner_outside() -> object:
    os.chown(FACTS["secret_file"], os.getuid(), os.getgid())
    return "changed"


@probe
def read_through_a_symbolic_link() -> object:
    os.symlink(FACTS["secret_file"], "src/link1")
    return Path("src/link1").read_text()


@probe
def read_through_a_link_to_a_folder() -> object:
    os.symlink("/", "src/link2")
    return Path("src/link2" + FACTS["secret_file"]).read_text()


@probe
def write_through_a_symbolic_link() -> object:
    os.symlink(FACTS["secret_file"], "src/link3")
    return Path("src/link3").write_text("x")


@probe
def hard_link_of_a_file_outside() -> object:
    os.link(FACTS["secret_file"], "src/hard")
    return Path("src/hard").read_text()


@probe
def move_a_file_in() -> object:
    os.rename(FACTS["secret_file"], "src/moved")
    return "moved"


@probe
def climb_above_the_tree() -> object:
    return Path("../" * 40 + FACTS["secret_file"].lstrip("/")).read_text()


@probe
def rename_the_tree_itself() -> object:
    os.rename(FACTS["root"], FACTS["root"] + "-away")
    return "renamed"


@probe
def open_by_handle() -> object:
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 8, 1) + bytes(120))
    return syscall(304, 265, ctypes.c_int(-100), handle, ctypes.c_int(0)) + 1


@probe
def mapped_devices() -> object:
    return [name for name in ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg") if _opens(name)]


@probe
def disks() -> object:
    return [str(path) for path in Path("/dev").glob("[vsh]d[a-z]*") if _opens(str(path))]


@probe
def make_a_device() -> object:
    os.mknod("src/disk", 0o060600, os.makedev(254, 0))
    return "made"


@probe
def the_terminal() -> object:
    return os.open("/dev/tty", os.O_RDWR)


@probe
def type_into_the_terminal() -> object:
    try:
        fcntl.ioctl(0, 0x5412, b"x")
    except PermissionError:
        return None
    except OSError as error:
        return f"the kernel was asked: {error}"
    return "typed"


def _opens(name: str) -> bool:
    try:
        os.close(os.open(name, os.O_RDWR))
    except OSError:
        return False
    return True


# The process file system ---------------------------------------------------------------------------------------------


@probe
def through_proc_self_root() -> object:
    return Path("/proc/self/root" + FACTS["secret_file"]).read_text()


@probe
def through_proc_of_the_first_process() -> object:
    return Path("/proc/1/root" + FACTS["secret_file"]).read_text()


@probe
def through_proc_of_a_process_outside() -> object:
    return Path(f"/proc/{FACTS['victim']}/root{FACTS['secret_file']}").read_text()


@probe
def through_the_folder_of_a_process_outside() -> object:
    return _is_victim() and os.listdir(f"/proc/{FACTS['victim']}/cwd/")


@probe
def memory_of_a_process_outside() -> object:
    with open(f"/proc/{FACTS['victim']}/mem", "r+b"):
        return _is_victim()


@probe
def environment_of_a_process_outside() -> object:
    return FACTS["secret"] in Path(f"/proc/{FACTS['victim']}/environ").read_text()


@probe
def environments_of_all_processes() -> object:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += [str(path)] if FACTS["secret"] in path.read_text("utf-8", "replace") else []
        except OSError:
            continue
    return found


@probe
def descriptors_of_a_process_outside() -> object:
    return _is_victim() and [os.readlink(path) for path in Path(f"/proc/{FACTS['victim']}/fd").iterdir()]


@probe
def kernel_settings() -> object:
    names = (
        "kernel/core_pattern",
        "kernel/modprobe",
        "kernel/hostname",
        "vm/overcommit_memory",
        "kernel/yama/ptrace_scope",
    )
    return [name for name in names if _writable(f"/proc/sys/{name}")]


@probe
def magic_keys() -> object:
    return _writable("/proc/sysrq-trigger")


@probe
def kernel_memory() -> object:
    with open("/proc/kcore", "rb") as file:
        return file.read(16)


def _writable(name: str) -> bool:
    try:
        os.close(os.open(name, os.O_WRONLY))
    except OSError:
        return False
    return True


def _is_victim() -> bool:
    try:
        return FACTS["marker"] in Path(f"/proc/{FACTS['victim']}/cmdline").read_text()
    except OSError:
        return False


# Other processes -----------------------------------------------------------------------------------------------------


@probe
def trace_a_process_outside() -> object:
    syscall(101, 117, ctypes.c_long(16), ctypes.c_long(FACTS["victim"]), None, None)
    return "attached"


@probe
def be_traced_at_all() -> object:
    syscall(101, 117, ctypes.c_long(0), None, None, None)
    return "traceable"


@probe
def read_the_memory_of_a_process_outside() -> object:
    buffer = ctypes.create_string_buffer(8)
    here = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    there = (ctypes.c_ulong * 2)(FACTS["address"], 8)
    return syscall(310, 270, ctypes.c_int(FACTS["victim"]), here, ctypes.c_ulong(1), there, ctypes.c_ulong(1), 0)


@probe
def end_a_process_outside() -> object:
    found = _is_victim()
    os.kill(FACTS["victim"], signal.SIGUSR1)
    return found


@probe
def end_a_thread_outside() -> object:
    found = _is_victim()
    syscall(234, 131, FACTS["victim"], FACTS["victim"], int(signal.SIGUSR1))
    return found


@probe
def signal_through_a_descriptor() -> object:
    found = _is_victim()
    signal.pidfd_send_signal(os.pidfd_open(FACTS["victim"]), signal.SIGUSR1)
    return found


@probe
def descriptor_of_a_process_outside() -> object:
    target = os.pidfd_open(FACTS["victim"])
    return syscall(438, 438, target, 0, 0) + 1


@probe
def limits_of_a_process_outside() -> object:
    resource.prlimit(FACTS["victim"], resource.RLIMIT_CORE, (0, 0))
    return _is_victim()


@probe
def priority_of_a_process_outside() -> object:
    os.setpriority(os.PRIO_PROCESS, FACTS["victim"], 19)
    return _is_victim()


@probe
def processors_of_a_process_outside() -> object:
    os.sched_setaffinity(FACTS["victim"], {0})
    return _is_victim()


@probe
def inherited_descriptors() -> object:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        found += [f"{name}: {target}"] if int(name) > 2 and FACTS["marker"] in target else []
    return found


@probe
def input_of_the_agent() -> object:
    return os.read(0, 10)


# Privileges and namespaces -------------------------------------------------------------------------------------------


def _status(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith(name + ":"))


@probe
def capabilities() -> object:
    return [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(_status(name), 16)]


@probe
def setuid_programs() -> object:
    return _status("NoNewPrivs") != "1"


@probe
def no_filter() -> object:
    return _status("Seccomp") != "2"


@probe
def become_another_user() -> object:
    os.setuid(12345)
    return "changed"


@probe
def mount_something() -> object:
    if LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
    return "mounted"


@probe
def mount_in_steps() -> object:
    return syscall(430, 430, b"tmpfs", 0) + 1


@probe
def unmount_what_is_protected() -> object:
    if LIBC.umount2(str(Path(FACTS["root"]) / ".git").encode(), 2):
        raise OSError(ctypes.get_errno(), "umount")
    return "unmounted"


@probe
def remount_what_is_protected() -> object:
    if LIBC.mount(None, str(Path(FACTS["root"]) / ".git").encode(), None, 4096 | 32, None):
        raise OSError(ctypes.get_errno(), "mount")
    return "remounted"


@probe
def user_namespace() -> object:
    return syscall(272, 97, 0x10000000) == 0


@probe
def user_namespace_by_clone() -> object:
    child = syscall(56, 220, ctypes.c_ulong(0x10000000 | signal.SIGCHLD), None, None, None, None)
    if child == 0:
        os._exit(0)
    return child


@probe
def user_namespace_by_clone3() -> object:
    arguments = struct.pack("=8Q", 0x10000000, 0, 0, 0, int(signal.SIGCHLD), 0, 0, 0)
    child = syscall(435, 435, arguments, ctypes.c_size_t(len(arguments)))
    if child == 0:
        os._exit(0)
    return child


@probe
def namespace_of_another() -> object:
    target = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    return syscall(308, 268, target, 0) == 0


@probe
def change_the_root() -> object:
    os.chroot("src")
    return "changed"


@probe
def pivot_the_root() -> object:
    return syscall(155, 41, b"src", b"src") == 0


@probe
def groups_of_resources() -> object:
    os.mkdir("/sys/fs/cgroup/" + FACTS["marker"])
    return "made"


@probe
def leave_the_group_of_resources() -> object:
    return [str(path) for path in Path("/sys/fs/cgroup").glob("**/cgroup.procs") if _writable(str(path))][:1]


@probe
def release_agent() -> object:
    return [str(path) for path in Path("/sys/fs/cgroup").glob("*/release_agent") if _writable(str(path))]


# Network and other ways to talk --------------------------------------------------------------------------------------


@probe
def tcp_to_the_machine() -> object:
    with socket.create_connection(("127.0.0.1", FACTS["tcp"]), 2) as connection:
        connection.send(b"out")
        return "connected"


@probe
def tcp_to_the_internet() -> object:
    with socket.create_connection(("1.1.1.1", 443), 2):
        return "connected"


@probe
def tcp_server() -> object:
    with socket.create_server(("0.0.0.0", 0)) as server:
        return same_network() and server.getsockname()


@probe
def udp_to_the_machine() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"out", ("127.0.0.1", FACTS["udp"]))
        return same_network()


@probe
def ask_a_name_server() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"\0" * 12, ("8.8.8.8", 53))


@probe
def other_interfaces() -> object:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0):
        return same_network()


@probe
def raw_packets() -> object:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
        return "opened"


@probe
def unix_socket_of_the_machine() -> object:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(FACTS["unix"])
        return "connected"


@probe
def abstract_socket_of_the_machine() -> object:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + FACTS["abstract"])
        return "connected"


@probe
def datagram_pair_pointed_elsewhere() -> object:
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect(FACTS["datagram"])
    return one.send(b"out")


@probe
def datagram_pair_sent_elsewhere() -> object:
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return one.sendto(b"out", FACTS["datagram"])


@probe
def shared_memory_of_the_machine() -> object:
    segment = syscall(29, 194, ctypes.c_int(FACTS["shared_key"]), ctypes.c_size_t(0), 0)
    return segment + 1


@probe
def shared_files_of_the_machine() -> object:
    return Path("/dev/shm", FACTS["in_shm"]).read_text()


@probe
def message_queues() -> object:
    return FACTS["host_ipc"] == os.readlink("/proc/self/ns/ipc") and syscall(68, 186, 0, 0o1600) + 1


@probe
def keyrings() -> object:
    return syscall(250, 219, 0, -3, 1)


@probe
def add_a_key() -> object:
    return syscall(248, 217, b"user", b"dovetail", b"x", ctypes.c_size_t(1), -3)


# Doors into the kernel -----------------------------------------------------------------------------------------------


@probe
def bpf() -> object:
    return syscall(321, 280, 0, ctypes.create_string_buffer(128), 128) + 1


@probe
def io_uring() -> object:
    return syscall(425, 425, 1, ctypes.create_string_buffer(256)) + 1


@probe
def userfaultfd() -> object:
    return syscall(323, 282, 1) + 1


@probe
def performance_events() -> object:
    return syscall(298, 241, ctypes.create_string_buffer(struct.pack("=II", 1, 112) + bytes(104)), 0, -1, -1, 0) + 1


@probe
def kernel_modules() -> object:
    return syscall(175, 105, None, 0, b"") == 0


@probe
def another_kernel() -> object:
    return syscall(246, 104, 0, 0, None, 0) == 0


@probe
def file_in_memory() -> object:
    return syscall(319, 279, b"x", 0) + 1


@probe
def other_numbering_of_calls() -> object:
    return X86 and LIBC.syscall(ctypes.c_long(0x40000000 + 39)) > 0


@probe
def clock() -> object:
    return syscall(227, 112, 0, struct.pack("=qq", 1, 0)) == 0


@probe
def name_of_the_machine() -> object:
    socket.sethostname("escaped")
    return "changed"


# What is protected in the tree ---------------------------------------------------------------------------------------


@probe
def write_a_hook() -> object:
    return Path(".git/hooks/pre-commit").write_text("#!/bin/sh\n")


@probe
def write_the_settings_of_git() -> object:
    return Path(".git/config").write_text("[core]\n\tfsmonitor = evil\n")


@probe
def settings_of_git_by_git() -> object:
    return not os.spawnlp(os.P_WAIT, "git", "git", "config", "core.fsmonitor", "evil")


@probe
def settings_of_git_by_environment() -> object:
    os.environ |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "src"}
    return not os.spawnlp(os.P_WAIT, "git", "git", "update-ref", "refs/heads/evil", "HEAD")


@probe
def rename_the_repository() -> object:
    os.rename(".git", "src/away")
    return "renamed"


@probe
def link_into_the_repository() -> object:
    os.link(".git/config", "src/config")
    return Path("src/config").write_text("x")


@probe
def mode_of_a_hook() -> object:
    os.chmod(".git/hooks/sample", 0o755)
    return "changed"


@probe
def write_through_a_link_in_the_tree() -> object:
    os.symlink("../.git", "src/repository")
    return Path("src/repository/config").write_text("x")


@probe
def open_the_repository_through_proc() -> object:
    folder = os.open(".git", os.O_RDONLY)
    return Path(f"/proc/self/fd/{folder}/config").write_text("x")


@probe
def write_the_policy() -> object:
    return Path("dovetail.toml").write_text("x")


@probe
def delete_the_policy() -> object:
    os.unlink("dovetail.toml")
    return "deleted"


@probe
def rename_over_the_policy() -> object:
    Path("src/other.toml").write_text("x")
    os.rename("src/other.toml", "dovetail.toml")
    return "replaced"


@probe
def rename_the_folder_of_a_protected_file() -> object:
    os.rename("settings", "src/settings")
    os.makedirs("settings/deep")
    return Path("settings/deep/rules.toml").write_text("x")


@probe
def rename_the_inner_folder_of_a_protected_file() -> object:
    os.rename("settings/deep", "settings/away")
    os.mkdir("settings/deep")
    return Path("settings/deep/rules.toml").write_text("x")


@probe
def truncate_a_protected_file() -> object:
    os.truncate("settings/deep/rules.toml", 0)
    return "truncated"


@probe
def plant_a_tool() -> object:
    return Path(".venv/bin/tool").write_text("#!/bin/sh\n")


@probe
def secrets_in_the_environment() -> object:
    return [name for name, value in os.environ.items() if FACTS["secret"] in value]


def main() -> None:
    FACTS.update(json.loads(sys.argv[1]))
    names = sys.argv[2:] or list(PROBES)
    print(json.dumps({name: attempt(name) for name in names}))


if __name__ == "__main__":
    main()
