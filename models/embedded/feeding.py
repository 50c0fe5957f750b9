"""Batches made by other processes while this one trains. The order does not depend on who is faster."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Final

import torch.multiprocessing

from dovetail.models.embedded.samples import Batch

WAITING: Final = 4  # batches that a process may be ahead
_LOOK_S: Final = 2.0
Source = Callable[[int], Iterator[Batch]]


class MakerDied(RuntimeError):
    """A process that makes batches has ended."""


def fed(source: Source, processes: int) -> Iterator[Batch]:
    """The batches of ``source(0)``, or with processes those of ``source(1)``, ``source(2)``, ... in turn.

    Args:
        source: makes the endless batches of one number; sent to the processes by pickle.
        processes: how many; 0: batches are made here, when they are asked for.
    """
    if not processes:
        yield from source(0)
        return
    context = torch.multiprocessing.get_context("spawn")
    queues = [context.Queue(WAITING) for _ in range(processes)]
    makers = [
        context.Process(target=_make, args=(source, number, waiting), daemon=True)
        for number, waiting in enumerate(queues, 1)
    ]
    for maker in makers:
        maker.start()
    try:
        while True:
            for maker, waiting in zip(makers, queues, strict=True):
                yield _next(maker, waiting)
    finally:
        for maker in makers:
            maker.terminate()
            maker.join()


def _next(maker: BaseProcess, waiting: torch.multiprocessing.Queue[Batch]) -> Batch:
    while True:
        try:
            batch: Batch = waiting.get(timeout=_LOOK_S)
        except queue.Empty:
            if not maker.is_alive():
                raise MakerDied(f"a process that makes batches ended with status {maker.exitcode}") from None
        else:
            return batch


def _make(source: Source, number: int, waiting: torch.multiprocessing.Queue[Batch]) -> None:
    torch.set_num_threads(1)
    for batch in source(number):
        waiting.put(batch)
