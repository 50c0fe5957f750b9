"""What the machine is: processor, memory, accelerator, clock; and which kernels are used on it. Changes nothing."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from dovetail.serve.doctor.check import Check
from dovetail.serve.sizing import available_memory

GIB = 2**30
_LITTLE_MEMORY, _LITTLE_DISK = 2 * GIB, 2 * GIB
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "amx_tile", "neon", "asimd")
_UNSYNCHRONISED = 0x0040
"""STA_UNSYNC of adjtimex(2): the kernel knows of nobody who sets the clock."""


def machine() -> Iterator[Check]:
    """Every check of the machine."""
    yield _processor()
    yield _memory()
    yield _disk(Path.cwd())
    yield from _accelerator()
    yield from _kernels()
    yield from _clock()


def _processor() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
                break
    except OSError:
        pass
    known = [each for each in _INSTRUCTIONS if each in flags]
    said = f"{name}, {cores} cores usable, {', '.join(known) or 'no vector instructions known here'}"
    if flags and not flags & {"avx2", "asimd", "neon"}:
        return Check("processor", "warn", said, "without AVX2 the C++ kernels are slow: serve on a newer machine")
    return Check("processor", "good", said)


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = available_memory()
    said = f"{free / GIB:.1f} GiB available of {total / GIB:.1f} GiB"
    if free < _LITTLE_MEMORY:
        return Check("memory", "warn", said, "end other programs, or serve with --quantize int4 and --kv-cache-memory")
    return Check("memory", "good", said)


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    said = f"{free / GIB:.1f} GiB free at {folder}"
    return (
        Check("disk", "warn", said, "make room: stored answers and audit logs grow")
        if free < _LITTLE_DISK
        else Check("disk", "good", said)
    )


def _accelerator() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(index)
            yield Check(
                "accelerator", "good", f"{found.name}, {found.total_memory / GIB:.0f} GiB, torch {torch.__version__}"
            )
    elif Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
        said = f"an NVIDIA driver is here, but torch {torch.__version__} sees no device"
        fix = (
            "install a torch built for CUDA (the +cpu builds have none), or look at what nvidia-smi says of the driver"
        )
        yield Check("accelerator", "warn", said, fix)
    else:
        yield Check("accelerator", "note", f"none: everything runs on the CPU, torch {torch.__version__}")


def _kernels() -> Iterator[Check]:
    from dovetail.kernels.cpu.library import instruction_set
    from dovetail.kernels.ops import describe
    from dovetail.serve.constrain.syntax.native import library as recogniser

    fix = "install a C++ compiler (on Debian: apt-get install g++) and run: pip install -e ."
    built = instruction_set() is not None
    yield Check("kernels", "good" if built else "warn", describe(), "" if built else fix)
    if recogniser() is not None:
        yield Check("recogniser", "good", "the syntax recogniser is built")
    else:
        yield Check("recogniser", "warn", "the syntax recogniser runs in Python, some fifty times slower", fix)


def _clock(now: float | None = None) -> Iterator[Check]:
    now = time.time() if now is None else now
    written = Path(__file__).stat().st_mtime
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    fix = "set the clock (chronyc, timedatectl): keys expire, tokens are judged and records are dated by it"
    if now < written - 60:
        yield Check("clock", "bad", f"{said}, before this program was installed", fix)
    elif _synchronised() is False:
        yield Check("clock", "note", f"{said}; the kernel says that nobody sets it", fix)
    else:
        yield Check("clock", "good", said)


def _synchronised() -> bool | None:
    """Whether something keeps the clock; None where the system does not say, as in many containers."""
    room = ctypes.create_string_buffer(512)  # struct timex: modes 0 only asks
    try:
        state = ctypes.CDLL(None).adjtimex(room)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(room, 8 + 4 * ctypes.sizeof(ctypes.c_long)).value
    return not status & _UNSYNCHRONISED
