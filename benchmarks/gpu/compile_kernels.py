"""Do the Triton kernels compile for a GPU that is not here? Registers, spilled bytes and shared memory of each, for sm_90.

python benchmarks/gpu/compile_kernels.py [--capability 89]

Nothing is launched: the operators are called with tensors on the CPU, their kernels are compiled with those arguments, and the
disassembler that Triton brings reads what they use. The interpreter knows nothing of what a compiler refuses; this does.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver, jit

from dovetail.kernels import gpu
from dovetail.kernels.linear.packed import Storage

SHARED = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
"""KiB of shared memory that a program may have, by compute capability."""


PROCESSORS = 132
"""Streaming multiprocessors, which splits depend on."""


class NoDevice:
    """What Triton asks of a driver before it compiles."""

    def __init__(self, capability: int) -> None:
        self._capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self._capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_all(cases: dict[str, Callable[[], Any]], capability: int) -> list[dict[str, Any]]:
    """Call every case with launches replaced by compilation; one row per kernel that a case needs."""
    found: list[dict[str, Any]] = []
    case = ""
    whole = jit.JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = whole(self, *args, grid=grid, warmup=True, **options)
        use, text = _use(kernel.asm["cubin"]), kernel.asm["ptx"]
        unit = next((name for name in ("wgmma", "mma.sync") if name in text), "none")
        row = {"case": case, "kernel": kernel.metadata.name, "matrix": unit, **use, "shared": kernel.metadata.shared}
        found.append(row)
        return kernel

    driver.set_active(NoDevice(capability))
    jit.JITFunction.run = compile_only
    try:
        for case, call in cases.items():  # noqa: B007
            call()
    finally:
        jit.JITFunction.run = whole
    return found


def _use(cubin: bytes) -> dict[str, int]:
    """Registers per thread and bytes of stack, as ``cuobjdump`` says."""
    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([program, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    registers, stack = re.search(r"REG:(\d+)", text), re.search(r"STACK:(\d+)", text)
    assert registers is not None and stack is not None, text
    return {"registers": int(registers[1]), "stack": int(stack[1])}


def cases() -> dict[str, Callable[[], Any]]:
    """Every operator with the types and sizes of real models."""
    from dovetail.kernels.attention.device_plan import DeviceLengths, DevicePlan
    from dovetail.kernels.attention.triton import attend, copy_slots
    from dovetail.kernels.linear.device import DeviceWeight, quantise
    from dovetail.kernels.linear.triton import linear, round_rows, unpack
    from dovetail.kernels.moe.reference import Experts
    from dovetail.kernels.moe.stored import quantise_experts
    from dovetail.kernels.moe.triton import mix_experts
    from dovetail.kernels.qkv.triton import prepare_qkv
    from dovetail.kernels.rms_norm.triton import add_rms_norm, rms_norm
    from dovetail.kernels.sampling.rows import Adjustments, SampleRows
    from dovetail.kernels.sampling.triton import adjust, draw
    from dovetail.kernels.silu_mul.triton import silu_mul

    def rand(*shape: int) -> torch.Tensor:
        return torch.randn(shape).to(torch.bfloat16)

    def attention(
        width: int,
        queries: int,
        context: int,
        *,
        invariant: bool = False,
        cache: torch.dtype = torch.bfloat16,
        **extra: Any,
    ) -> Callable[[], Any]:
        lengths = DeviceLengths(torch.tensor([0, queries], dtype=torch.int32), torch.tensor([context]).int(), context)
        tables = torch.zeros(1, context // 16, dtype=torch.int64)
        plan = DevicePlan(lengths, tables, (queries,), extra.pop("window", None), invariant)
        caches = torch.zeros(4, 16, 4, width, dtype=torch.bfloat16).to(cache)
        return lambda: attend(rand(queries, 28, width), caches, caches.clone(), plan, 0.1, **extra)

    def qkv(cache: torch.dtype, normed: bool) -> Callable[[], Any]:
        caches = torch.zeros(4, 16, 4, 128).to(cache)
        norms = (rand(128), rand(128)) if normed else None
        angles, slots = (rand(3, 64), rand(3, 64)), torch.arange(3)
        return lambda: prepare_qkv(rand(3, 36 * 128), norms, 1e-6, angles, slots, caches, caches.clone())

    def stored(kind: Storage | None, outputs: int, columns: int) -> DeviceWeight:
        weight = DeviceWeight(None, columns, rand(outputs, columns), torch.bfloat16, invariant=True)
        return weight if kind is None else quantise(weight.words, kind)

    def product(kind: Storage | None, rows: int) -> Callable[[], Any]:
        """Of few outputs with a split along K; of many rows without one."""
        return lambda: linear(rand(rows, 2048), stored(kind, 32, 2048), rand(32))

    def grouped(kind: Storage | None, rows: int) -> Callable[[], Any]:
        parts = [rand(8, 512, 512), rand(8, 512, 256)]
        held = parts if kind is None else [quantise_experts(part, kind) for part in parts]
        experts = Experts(held[0], held[1], None, None, silu_mul)
        chosen = torch.zeros(rows, 2, dtype=torch.int64)
        return lambda: mix_experts(rand(rows, 512), chosen, rand(rows, 2), experts)

    def copied() -> None:
        caches = [torch.zeros(4, 16, 4, 128, dtype=torch.bfloat16) for _ in range(2)]
        copy_slots(*caches, torch.arange(3).int(), torch.arange(3, 6).int())

    ones = torch.ones(2)
    rows = SampleRows(ones, ones.int(), ones, ones, ones, torch.zeros(2, 4752).int(), ones.int())
    logits = torch.randn(2, 152064)
    kinds: tuple[Storage | None, ...] = (None, "int8", "int4", "fp8")
    return {
        "rms_norm": lambda: rms_norm(rand(2, 3584), rand(3584), 1e-6),
        "add_rms_norm": lambda: add_rms_norm(rand(2, 3584), rand(2, 3584), rand(3584), 1e-6),
        "silu_mul": lambda: silu_mul(rand(2, 2 * 18944)),
        "qkv": qkv(torch.bfloat16, False),
        "qkv, normed, cache of 8 bits": qkv(torch.float8_e4m3fn, True),
        "attention, decoding": attention(128, 1, 32768),
        "attention, decoding, cache of 8 bits": attention(128, 1, 32768, cache=torch.float8_e4m3fn),
        "attention, drafts of 8": attention(128, 9, 32768),
        "attention, drafts of 32": attention(128, 33, 32768),
        "attention, heads of 64": attention(64, 1, 4096),
        "attention, heads of 256": attention(256, 1, 4096),
        "attention, prompt": attention(128, 2048, 4096),
        "attention, prompt, heads of 64": attention(64, 2048, 4096),
        "attention, prompt, heads of 256": attention(256, 2048, 4096),
        "attention, window, sinks, cap": attention(64, 2048, 4096, window=128, sinks=torch.zeros(28), softcap=30.0),
        "attention, invariant, decoding": attention(128, 1, 32768, invariant=True),
        "attention, invariant, prompt": attention(128, 2048, 4096, invariant=True),
        "adjust": lambda: adjust(logits, Adjustments(torch.zeros(3).int(), torch.zeros(4).int(), torch.ones(4), torch.ones(4))),
        "draw": lambda: draw(logits, logits, rows),
        **{f"linear, {kind or 'bfloat16'}, {rows} rows": product(kind, rows) for kind in kinds for rows in (8, 64, 200)},
        **{f"written out, {kind}": lambda kind=kind: unpack(stored(kind, 32, 2048)) for kind in ("int8", "int4")},  # type: ignore[misc]
        "rows in 8 bits": lambda: round_rows(rand(3, 3584)),
        **{f"experts, {kind or 'bfloat16'}, {rows} rows": grouped(kind, rows) for kind in kinds for rows in (4, 200)},
        "slots copied": copied,
    }  # fmt: skip


def main() -> int:
    """Print a table and one JSON object."""
    from dovetail.kernels.attention import device_plan
    from dovetail.kernels.linear import triton as linear_triton

    torch.set_num_threads(1)
    gpu.INTERPRETED = True  # the operators take tensors on the CPU, whose kernels are compiled, not interpreted
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, choices=SHARED, default=90)
    capability = parser.parse_args().capability
    device_plan.processors = linear_triton.processors = lambda device: PROCESSORS  # type: ignore[assignment]
    gpu.shared_memory = lambda device: SHARED[capability] * 1024  # type: ignore[assignment]
    narrow = capability >= 89  # older ones have no 8-bit floats
    found = compile_all(
        {name: case for name, case in cases().items() if narrow or not ("fp8" in name or "8 bits" in name)}, capability
    )
    for row in found:
        use = f"{row['registers']:4} registers {row['stack']:6} stack {row['shared']:7} shared  matrix unit {row['matrix']}"
        print(f"{row['case']:40} {row['kernel']:14} {use}")
    print(
        json.dumps(
            {"benchmark": "gpu_compile", "capability": capability, "triton": triton.__version__, "kernels": found}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
