"""What attention needs to know of a ragged batch. Knows nothing of requests, models or how slots were allotted."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class AttentionBatch(Protocol):
    """S sequences, their T new rows concatenated. Every sequence has at least one new row."""

    @property
    def query_starts(self) -> tuple[int, ...]:
        """S + 1 row offsets: sequence ``s`` owns rows ``query_starts[s]:query_starts[s + 1]``."""
        ...

    @property
    def context_lens(self) -> tuple[int, ...]:
        """S key-value lengths, the new rows included."""
        ...

    @property
    def block_tables(self) -> Tensor:
        """int64 ``[S, max_blocks]``: the cache blocks of each sequence in order, padded with 0."""
        ...
