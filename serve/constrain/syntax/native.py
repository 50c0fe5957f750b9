"""The inner loop of the recogniser in C: finds, loads and calls the library built from recogniser.c.

setup.py builds ``_recogniser.so`` into this folder where a C compiler is there; without it reference.py does the same, some
fifty times slower. Calls hold the interpreter's lock: they take microseconds.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from pathlib import Path

from dovetail.serve.constrain.syntax.parsing import LATIN_1_ONLY
from dovetail.serve.constrain.syntax.snapshot import UnclearError
from dovetail.serve.constrain.syntax.tables import TableError, language_address

INTERFACE = 3
"""Must equal ``dovetail_recogniser_interface()``; raised with every change of a signature or of the snapshots."""

PATH = Path(__file__).parent / "_recogniser.so"

_DEAD, _ACCEPTED, _UNCLEAR, _MALFORMED, _TOO_SMALL = 0, 1, -1, -2, -3
_ROOM = 1 << 14


@cache
def library() -> ctypes.PyDLL | None:
    """The loaded library; None where it was not built, does not load here, or is left over from another version."""
    if not PATH.is_file():
        return None
    try:
        found = ctypes.PyDLL(str(PATH))
        if found.dovetail_recogniser_interface() != INTERFACE:
            return None
        found.dovetail_recogniser_open.argtypes = [ctypes.c_void_p, ctypes.c_int]
        found.dovetail_recogniser_open.restype = ctypes.c_void_p
        found.dovetail_recogniser_close.argtypes = [ctypes.c_void_p]
        found.dovetail_recogniser_close.restype = None
        pointer, size = ctypes.c_char_p, ctypes.c_int64
        feed = found.dovetail_recogniser_feed
        feed.argtypes = [ctypes.c_void_p, pointer, size, pointer, size, ctypes.c_int, ctypes.c_void_p, size]
        feed.restype = size
    except (OSError, AttributeError):
        return None
    return found


class Native:
    """Snapshots on from snapshots, for one grammar: reference.Reference, in C."""

    def __init__(self, name: str, loaded: ctypes.PyDLL) -> None:
        self._library = loaded
        self._handle = loaded.dovetail_recogniser_open(language_address(name), name in LATIN_1_ONLY)
        if not self._handle:
            raise TableError(f"the {name} grammar was refused")
        self._feed = loaded.dovetail_recogniser_feed
        self._lock = threading.Lock()
        self._make_room(_ROOM)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.dovetail_recogniser_close(self._handle)

    def _make_room(self, size: int) -> None:
        self._size = size
        self._room = ctypes.create_string_buffer(size)
        self._address = ctypes.addressof(self._room)

    def feed(self, content: bytes, data: bytes) -> bytes | None:
        """The snapshot behind ``data``; None: no text that goes on like this is in the language.

        Raises:
            UnclearError: a limit was hit.
        """
        with self._lock:
            size = self._call(content, data)
            while size == _TOO_SMALL:
                self._make_room(2 * self._size)
                size = self._call(content, data)
            if size > 0:
                return ctypes.string_at(self._address, size)
        if size == _DEAD:
            return None
        raise UnclearError if size == _UNCLEAR else ValueError("not a snapshot")

    def _call(self, content: bytes, data: bytes, whole: bool = False) -> int:
        size: int = self._feed(self._handle, content, len(content), data, len(data), whole, self._address, self._size)
        return size

    def accepts(self, content: bytes) -> bool:
        """Whether a file may end there.

        Raises:
            UnclearError: a limit was hit.
        """
        with self._lock:
            answer = self._call(content, b"", whole=True)
        if answer < 0:
            raise UnclearError if answer == _UNCLEAR else ValueError("not a snapshot")
        return answer == _ACCEPTED
