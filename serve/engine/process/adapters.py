"""Which LoRA adapters an engine process has, asked for one by one, and asked for again when it was started anew.

Knows the messages about them; knows neither sockets nor files.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from dovetail.serve.engine.process.messages import AdapterAnswer, LoadAdapter, UnloadAdapter
from dovetail.serve.errors import EngineError, ModelError, UserError

_log = structlog.get_logger("dovetail.engine")


class Adapters:
    """``send`` gives a message to the process; its answers come in the same order."""

    def __init__(self, send: Callable[[LoadAdapter | UnloadAdapter], None], wanted: Mapping[str, Path]) -> None:
        self._send = send
        self._wanted = dict(wanted)
        self._asked: deque[tuple[str, asyncio.Future[str]]] = deque()

    async def load(self, name: str, path: Path) -> None:
        """Raises UserError where the adapter cannot be used."""
        error = await self._ask(LoadAdapter(name, str(path)))
        if error:
            raise UserError(error, code="bad_adapter", param="lora_path")
        self._wanted[name] = path

    async def unload(self, name: str) -> None:
        """Forget it here and there."""
        self._wanted.pop(name, None)
        error = await self._ask(UnloadAdapter(name))
        if error:
            raise UserError(error, code="bad_adapter", param="lora_name")

    def restore(self, first: asyncio.Future[None]) -> None:
        """A process has loaded its model: give it every adapter before any request. ``first`` is told when they are there."""
        answers = [self._begin(LoadAdapter(name, str(path))) for name, path in self._wanted.items()]

        def settle(_: object) -> None:
            if not all(answer.done() for answer in answers) or any(answer.exception() for answer in answers):
                return  # not yet, or the process has died: what then follows is its supervisor's business
            errors = [answer.result() for answer in answers if answer.result()]
            if first.done():
                for error in errors:
                    _log.error("an adapter cannot be loaded again", error=error)
            elif errors:
                first.set_exception(ModelError(errors[0]))
            else:
                first.set_result(None)

        for answer in answers:
            answer.add_done_callback(settle)
        if not answers:
            settle(None)

    def answered(self, answer: AdapterAnswer) -> None:
        """The process has answered the oldest question."""
        name, future = self._asked.popleft()
        assert name == answer.name, "answers come in the order of the questions"
        if not future.done():
            future.set_result(answer.error)

    def fail(self, message: str) -> None:
        """The process has died: nothing that was asked will be answered."""
        while self._asked:
            _, future = self._asked.popleft()
            if not future.done():
                future.set_exception(EngineError(message, code="engine_died"))

    def _begin(self, message: LoadAdapter | UnloadAdapter) -> asyncio.Future[str]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked.append((message.name, future))
        self._send(message)
        return future

    async def _ask(self, message: LoadAdapter | UnloadAdapter) -> str:
        return await self._begin(message)
