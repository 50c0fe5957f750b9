"""The prefix cache's second tier: blocks that had to make room, kept in host memory, then on disk, and brought back when asked for.

Least recently used blocks leave host memory for the disk, and the disk for good. Copies run beside the steps: what is brought back
is waited for by its sequence alone. Only the engine's own thread calls this.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dovetail.models.batch import KVCache
from dovetail.serve.engine.native.blocks import Key, Leaving, Salt
from dovetail.serve.engine.native.kv_copies import Done, KVCopies
from dovetail.serve.engine.native.tier_disk import BlockLostError, DiskBlocks


@dataclass
class _Entry:
    """Where a block's content is: a ``row`` of the host's room, or a ``place`` on disk, written once ``nonce`` is there."""

    node: int
    salt: Salt
    row: int | None = None
    copied: Done = field(default_factory=Done)
    place: int | None = None
    nonce: Future[bytes] | None = None
    data: Tensor | None = None
    """What is on its way to the disk."""


@dataclass
class Loading:
    """Blocks on their way back into the cache. A ``Waitable``: ``ready`` once they are there, or known not to be."""

    keys: list[Key]
    nodes: list[int]
    blocks: list[int]
    parts: list[Tensor | Future[bytes]]
    done: Done | None = None
    ready: bool = False
    lost: bool = False
    abandoned: bool = False

    def wait(self, timeout_s: float) -> bool:
        """Wait for what is read from disk; whether that is all here. The blocks are there after the next plan."""
        end = time.perf_counter() + timeout_s
        for part in self.parts:
            if isinstance(part, Future):
                try:
                    part.exception(max(0.0, end - time.perf_counter()))
                except TimeoutError:
                    return False
        return True


class SecondTier:
    """Up to ``host_blocks`` blocks in host memory and ``disk_blocks`` in a file below ``folder``."""

    def __init__(self, cache: KVCache, host_blocks: int, folder: Path | None = None, disk_blocks: int = 0) -> None:
        self._copies = KVCopies(cache)
        self._room = self._copies.room(host_blocks)
        self._free = list(range(host_blocks - 1, -1, -1))
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._on_disk: OrderedDict[Key, _Entry] = OrderedDict()
        self._disk = DiskBlocks(folder, self._copies.nbytes, disk_blocks) if folder is not None else None
        self._loads: list[Loading] = []
        self._held: set[Key] = set()
        self.kept = self.returned = 0

    @staticmethod
    def block_bytes(cache: KVCache) -> int:
        """What one block takes."""
        return KVCopies(cache).nbytes

    def node(self, key: Key) -> int | None:
        """The tree node of a block that is here; None: it is not."""
        entry = self._entries.get(key) or self._on_disk.get(key)
        return entry.node if entry is not None else None

    def keep(self, leaving: Sequence[Leaving]) -> None:
        """Take what blocks hold before they are written again."""
        new = [each for each in leaving if self.node(each.key) is None]
        room = len(self._room) - len(self._held)
        if self._disk is None:
            new = new[max(0, len(new) - room) :]
        if room < 1:
            return
        for first in range(0, len(new), room):
            part = new[first : first + room]
            rows = [self._row() for _ in part]
            copied = self._copies.collect([each.block for each in part], self._room, rows)
            for each, row in zip(part, rows, strict=True):
                self._entries[each.key] = _Entry(each.node, each.salt, row, copied)
            self.kept += len(part)

    def fetch(self, keys: list[Key]) -> Loading:
        """Begin to bring back blocks that are here; :meth:`begin` says where to, and must be called next but for :meth:`keep`."""
        parts: list[Tensor | Future[bytes]] = []
        nodes: list[int] = []
        waits = any(key not in self._entries for key in keys)
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                assert entry.row is not None
                # A row may be given to another block while others are read from disk.
                parts.append(self._room[entry.row].clone() if waits else self._room[entry.row])
                self._held.add(key)
            else:
                entry = self._on_disk[key]
                self._on_disk.move_to_end(key)
                parts.append(self._read(entry))
            nodes.append(entry.node)
        return Loading(keys, nodes, [], parts)

    def begin(self, loading: Loading, blocks: list[int]) -> None:
        """Bring it into these blocks, which nobody else uses."""
        loading.blocks = blocks
        self._loads.append(loading)
        self._advance(loading)
        self._held.clear()

    def settle(self) -> list[Loading]:
        """What has arrived, or is lost, since the last call."""
        for loading in self._loads:
            self._advance(loading)
        settled = [loading for loading in self._loads if loading.ready]
        self._loads = [loading for loading in self._loads if not loading.ready]
        return settled

    def abandon(self, loading: Loading) -> None:
        """Nobody waits any more; its blocks are free to be written once this returns."""
        loading.abandoned = loading.ready = True
        if loading.done is not None:
            loading.done.wait()

    def forget(self, keys: Sequence[Key]) -> None:
        """Drop blocks that could not be read back."""
        for key in keys:
            entry = self._on_disk.pop(key, None)
            if entry is not None and entry.place is not None and self._disk is not None:
                self._disk.free.append(entry.place)

    def close(self) -> None:
        """Forget everything."""
        if self._disk is not None:
            self._disk.close()

    def _advance(self, loading: Loading) -> None:
        if loading.ready:
            return
        if loading.done is None and loading.wait(0.0):
            try:
                data = [_tensor(part, self._copies) for part in loading.parts]
            except BlockLostError:
                loading.lost = loading.ready = True
                return
            loading.done = self._copies.install(data, loading.blocks)
            loading.parts = []
            self.returned += len(loading.blocks)
        loading.ready = loading.done is not None and loading.done.ready

    def _read(self, entry: _Entry) -> Tensor | Future[bytes]:
        assert self._disk is not None
        data = entry.data
        if data is not None:
            return data
        assert entry.place is not None and entry.nonce is not None
        if entry.nonce.exception() is not None:  # it was never written, so nothing decrypts
            return self._disk.read(entry.place, bytes(12), entry.salt, entry.node)
        return self._disk.read(entry.place, entry.nonce.result(), entry.salt, entry.node)

    def _row(self) -> int:
        """A row of the host's room; the least recently used block goes to disk for it."""
        if self._free:
            return self._free.pop()
        key = next(key for key in self._entries if key not in self._held)
        entry = self._entries.pop(key)
        assert entry.row is not None
        row, entry.row = entry.row, None
        if self._disk is not None:
            self._to_disk(key, entry, row)
        return row

    def _to_disk(self, key: Key, entry: _Entry, row: int) -> None:
        assert self._disk is not None
        if not self._disk.free:
            if not self._on_disk:
                return
            _, oldest = self._on_disk.popitem(last=False)
            assert oldest.place is not None
            if oldest.nonce is not None:
                oldest.nonce.exception()  # what is being written is written before its place has another
            self._disk.free.append(oldest.place)
        entry.copied.wait()
        entry.place = self._disk.free.pop()
        data = entry.data = self._room[row].clone()
        entry.nonce = self._disk.write(entry.place, data.numpy().tobytes(), entry.salt, entry.node)
        entry.nonce.add_done_callback(lambda written: _drop(entry, written))
        self._on_disk[key] = entry


def _drop(entry: _Entry, written: Future[bytes]) -> None:
    entry.data = None


def _tensor(part: Tensor | Future[bytes], copies: KVCopies) -> Tensor:
    if isinstance(part, Tensor):
        return part
    return torch.frombuffer(bytearray(part.result()), dtype=copies.dtype).view(copies.shape)
