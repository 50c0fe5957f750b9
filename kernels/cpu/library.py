"""Finds and loads the native library. Knows where it lies and the types of its functions, nothing of what they compute.

setup.py builds ``_native.so`` into this folder when a C++ compiler is there; without it every operation has its torch
version. The functions take raw addresses: whoever calls them has checked types, shapes and strides.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

INTERFACE = 4
"""Must equal ``dovetail_interface()``; raised with every change of a signature below."""

PATH = Path(__file__).parent / "_native.so"

INSTRUCTION_SETS = ("plain", "avx2", "avx512", "avx512vnni", "amx")

_P, _I, _L, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
_SIGNATURES: dict[str, list[Any]] = {
    "dovetail_isa": [_I],
    "dovetail_linear": [_P, _P, _L, _P, _P, _P, _L, _L, _L, _I, _L, _L, _I],
    "dovetail_unpack": [_P, _P, _P, _L, _L, _L, _I, _L, _L, _I],
    "dovetail_rows": [_P, _P, _L, _P, _P, _L, _L, _I, _L, _L],
    "dovetail_attention": [_P, _P, _L, _P, _P, _P, _L, _P, _L, _L, _L, _L, _L, _L, _F, _F, _P, _I, _I],
    "dovetail_attention_tiles": [_L],
    "dovetail_prepare_qkv": [_P, _P, _P, _P, _L, _P, _P, _P, _P, _P, _L, _L, _L, _L, _F, _I],
    "dovetail_rms_norm": [_P, _P, _P, _L, _P, _P, _L, _L, _F, _I],
    "dovetail_decoder_step": [_P, _P],
    "dovetail_decoder_step_room": [_P],
    "dovetail_mask_logits": [_P, _P, _P, _P, _L, _P, _L, _P, _L, _L, _L, _I],
    "dovetail_silu_mul": [_P, _P, _L, _L, _I],
}


@cache
def library() -> ctypes.CDLL | None:
    """The loaded library; None where it was not built, does not load here, or is left over from another version."""
    if not PATH.is_file():
        return None
    try:
        found = ctypes.CDLL(str(PATH))
        found.dovetail_interface.restype = _I
        if found.dovetail_interface() != INTERFACE:
            return None
        for name, arguments in _SIGNATURES.items():
            function = getattr(found, name)
            function.argtypes, function.restype = arguments, None
    except (OSError, AttributeError):
        return None
    for name in ("dovetail_isa", "dovetail_rows", "dovetail_attention_tiles"):
        getattr(found, name).restype = _I
    found.dovetail_decoder_step_room.restype = _L
    return found


def instruction_set() -> str | None:
    """Which of INSTRUCTION_SETS the library uses on this processor; None without the library."""
    found = library()
    return None if found is None else INSTRUCTION_SETS[found.dovetail_isa(-1)]


def limit_instruction_set(name: str) -> str | None:
    """Use at most ``name`` from now on, in this process (for tests and benchmarks); returns what is in use."""
    found = library()
    return None if found is None else INSTRUCTION_SETS[found.dovetail_isa(INSTRUCTION_SETS.index(name))]
