"""Stored objects as their users see them: JSON records by kind and id, and who of several servers works on what. Keeps nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

Record = dict[str, Any]
Change = Callable[[Record], Record]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Records(Protocol):
    """Records of the tenant who asks. What reads or changes them may wait for a database: it is done by ``aside``."""

    def put(self, kind: str, id: str, record: Record) -> None:
        """Store or replace one record; it can be read at once, and ``written`` says when it is safe."""

    async def written(self) -> None:
        """Wait until all that was put and deleted so far outlives the process. Raises EngineError where it does not."""

    async def aside(
        self, work: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Do ``work``, which reads and changes records, without holding up the event loop."""

    def get(self, kind: str, id: str) -> Record | None:
        """One record; None if there is none."""

    def first(self, kind: str, id: str, record: Record) -> Record:
        """The record; ``record``, kept from now on, if there was none. Of several servers that ask, one is the first."""

    def change(self, kind: str, id: str, change: Change) -> Record | None:
        """The record after ``change``, which nobody else's change comes between; None if there is none."""

    def of_kind(self, kind: str) -> list[Record]:
        """All records of a kind, the oldest first."""

    def of_everyone(self, kind: str) -> list[Record]:
        """The same, whoever's they are."""

    def delete(self, kind: str, id: str) -> bool:
        """Whether there was such a record, which is gone now."""

    def delete_kind(self, kind: str) -> None:
        """Forget all records of a kind."""

    @property
    def claims(self) -> Claims:
        """Who works on what."""

    def close(self) -> None:
        """Give everything back, once all is written."""


class Claims(Protocol):
    """What each of several servers works on: a claim is its own until it gives it back, or is not heard of for a while."""

    @property
    def shared(self) -> bool:
        """Whether there can be other servers."""

    async def take(self, name: str, on_end: Callable[[bool], object]) -> bool:
        """Whether ``name`` is this server's now. ``on_end`` is called when another server asks for its end, or (True) it is lost."""

    async def held(self, name: str) -> bool:
        """Whether a server that lives works on it."""

    async def end(self, name: str, seconds: float) -> bool:
        """Ask whoever works on it to end that; whether nobody does any more, after ``seconds`` at most."""

    async def give_back(self, name: str) -> None:
        """Work on it no more."""

    async def close(self) -> None:
        """Give all back."""
