"""Blocks of the key-value cache on disk, encrypted with a key for each tenant. Knows bytes and salts; knows no device.

The file has no name, so it is gone with the process. So are the keys: they are derived from a secret that is never written. A
block that was changed on disk, or belongs to another tenant, does not decrypt.
"""

from __future__ import annotations

import os
import struct
import tempfile
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dovetail.serve.engine.native.blocks import Salt

_TAG_BYTES = 16
_THREADS = 2


class BlockLostError(Exception):
    """A block could not be read back; it has to be computed again."""


class DiskBlocks:
    """Numbered places of ``block_bytes`` in a file below ``folder``, at most ``places`` of them."""

    def __init__(self, folder: Path, block_bytes: int, places: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            self._file = os.dup(file.fileno())
        self._end = weakref.finalize(self, os.close, self._file)
        self._size = block_bytes + _TAG_BYTES
        self.free = list(range(places - 1, -1, -1))
        """Places that hold nothing; the caller takes and gives back."""
        self._secret = os.urandom(32)
        self._ciphers: dict[Salt, AESGCM] = {}
        self._written = 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kv-disk")

    def write(self, place: int, data: bytes, salt: Salt, node: int) -> Future[bytes]:
        """Encrypt and write in a thread; the result is the nonce that reading needs. Raises OSError there when the disk is full."""
        self._written += 1
        nonce = struct.pack("<xxxxQ", self._written)
        return self._threads.submit(self._write, place, data, self._cipher(salt), nonce, struct.pack("<q", node))

    def read(self, place: int, nonce: bytes, salt: Salt, node: int) -> Future[bytes]:
        """Read and decrypt in a thread; raises BlockLostError there."""
        return self._threads.submit(self._read, place, nonce, self._cipher(salt), struct.pack("<q", node))

    def close(self) -> None:
        """Forget everything."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._end()

    def _write(self, place: int, data: bytes, cipher: AESGCM, nonce: bytes, name: bytes) -> bytes:
        sealed = cipher.encrypt(nonce, data, name)
        if os.pwrite(self._file, sealed, place * self._size) != self._size:
            raise OSError("the disk took only part of a block")
        return nonce

    def _read(self, place: int, nonce: bytes, cipher: AESGCM, name: bytes) -> bytes:
        try:
            return cipher.decrypt(nonce, os.pread(self._file, self._size, place * self._size), name)
        except (InvalidTag, OSError, ValueError) as error:
            raise BlockLostError(f"a block of the cache could not be read back: {error}") from error

    def _cipher(self, salt: Salt) -> AESGCM:
        found = self._ciphers.get(salt)
        if found is None:
            info = b"dovetail kv block " + repr(salt).encode()
            key = HKDF(SHA256(), 32, None, info).derive(self._secret)
            found = self._ciphers[salt] = AESGCM(key)
        return found
