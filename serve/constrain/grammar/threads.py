"""Threads that compile grammars, on stacks deep enough for llguidance's recursion. llguidance drops the GIL meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from dovetail.serve.constrain.grammar.limits import STACK_BYTES

_Result = TypeVar("_Result")
_THREADS = 2


class GrammarThreads:
    """Runs calls in the order they come, a few at a time. Its threads start with the first call and end with the process."""

    def __init__(self, threads: int = _THREADS) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._threads = threads
        self._lock = threading.Lock()
        self._started = False

    def submit(self, call: Callable[[], _Result]) -> Future[_Result]:
        """``call()`` in one of the threads; a future that is cancelled before its turn is never run."""
        self._start()
        future: Future[_Result] = Future()
        self._calls.put((future, call))
        return future

    def _start(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
            usual = threading.stack_size(STACK_BYTES)
            try:
                for number in range(self._threads):
                    threading.Thread(target=self._run, name=f"grammar {number}", daemon=True).start()
            finally:
                threading.stack_size(usual)

    def _run(self) -> None:
        while True:
            future, call = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except Exception as error:  # noqa: BLE001 (it is the caller's, and raised there)
                future.set_exception(error)
            else:
                future.set_result(result)
