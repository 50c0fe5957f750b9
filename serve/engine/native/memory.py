"""Memory that ran out, told the same way wherever it did: torch's own errors become MemoryError. Knows nothing of the step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_CPU_WORDS = ("can't allocate memory", "not enough memory")


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Raises MemoryError for what torch raises when an allocation fails, on whatever device; other errors pass."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if any(words in str(error) for words in _CPU_WORDS):
            raise MemoryError(str(error)) from error
        raise
