"""Runs a command in a network namespace that has nothing but its own loopback, and says what it tried to send elsewhere.

``python isolated.py OUT COMMAND...`` runs inside ``unshare --map-root-user --net``. The kernel counts what has no route, and
datagrams: names are asked for with them.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

SET_FLAGS, UP = 0x8914, 1
NAMESPACE = ["unshare", "--map-root-user", "--net"]


def can_isolate() -> bool:
    """Whether this machine lets us make a namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def attempts() -> dict[str, int]:
    """What processes of this namespace tried to send to other machines, so far."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()]
    counts = {
        f"{names[0]}{name}": int(value)
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
    }
    six = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return {
        "no route": counts["Ip:OutNoRoutes"] + int(six["Ip6OutNoRoutes"]),
        "datagrams": counts["Udp:OutDatagrams"] + int(six["Udp6OutDatagrams"]),
    }


def main() -> int:
    """Run the command, and write the counts to OUT."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP))
    status = subprocess.run(sys.argv[2:], check=False).returncode
    Path(sys.argv[1]).write_text(json.dumps(attempts()))
    return status


if __name__ == "__main__":
    sys.exit(main())
