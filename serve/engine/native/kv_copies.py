"""Blocks of the key-value cache copied to host memory and back, many at a time. Knows addresses; knows no prefix and no request.

On a CUDA device the copies have a stream of their own: steps go on meanwhile.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.ops import upload
from dovetail.models.batch import KVCache


class Done:
    """The end of a copy. Without a device everything is done at once."""

    def __init__(self, event: torch.cuda.Event | None = None) -> None:
        self._event = event

    @property
    def ready(self) -> bool:
        """Whether it has come."""
        return self._event is None or bool(self._event.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Block until it comes."""
        if self._event is not None:
            self._event.synchronize()


class KVCopies:
    """Copies between the blocks of ``cache`` and rows of a host tensor like ``[n, *shape]``."""

    def __init__(self, cache: KVCache) -> None:
        self._layers = [*cache.keys, *cache.values]
        # As whole numbers: not every operation is there for types of 8 bits, and those on bytes are slow.
        size = self._layers[0][0].nbytes
        self.dtype = torch.int64 if size % 8 == 0 else torch.uint8
        self._flat = [layer.view(layer.shape[0], -1).view(self.dtype) for layer in self._layers]
        self._device = self._layers[0].device
        self._stream: torch.cuda.Stream | None = None
        if self._device.type == "cuda":
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    @property
    def shape(self) -> tuple[int, int]:
        """Of one block: tensors, numbers in each."""
        return len(self._flat), self._flat[0].shape[1]

    @property
    def nbytes(self) -> int:
        """Of one block."""
        tensors, numbers = self.shape
        return tensors * numbers * self.dtype.itemsize

    def room(self, blocks: int) -> Tensor:
        """Host memory for so many blocks, pinned where a device copies it."""
        return torch.empty((blocks, *self.shape), dtype=self.dtype, pin_memory=self._stream is not None)

    def collect(self, blocks: list[int], room: Tensor, rows: list[int]) -> Done:
        """Copy ``blocks`` into the ``rows`` of ``room``. What the blocks hold may be overwritten as soon as this returns."""
        index = upload(blocks, torch.int64, self._device)
        staged = torch.stack([flat.index_select(0, index) for flat in self._flat], dim=1)
        if self._stream is None:
            room.index_copy_(0, torch.tensor(rows), staged)
            return Done()
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            for row, block in zip(rows, staged, strict=True):
                room[row].copy_(block, non_blocking=True)
            staged.record_stream(self._stream)
            return Done(self._stream.record_event())

    def install(self, data: list[Tensor], blocks: list[int]) -> Done:
        """Copy host tensors into ``blocks``, which nobody reads until this is done."""
        if self._stream is None:
            self._scatter(torch.stack(data), blocks)
            return Done()
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            staged = torch.empty((len(data), *self.shape), dtype=self.dtype, device=self._device)
            for row, block in zip(staged, data, strict=True):
                row.copy_(block, non_blocking=True)
            self._scatter(staged, blocks)
            return Done(self._stream.record_event())

    def _scatter(self, staged: Tensor, blocks: list[int]) -> None:
        index = upload(blocks, torch.int64, self._device)
        for number, flat in enumerate(self._flat):
            flat.index_copy_(0, index, staged[:, number])
