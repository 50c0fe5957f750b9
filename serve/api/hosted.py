"""The models of one server by the names that clients use: which engine runs each, and which adapter it runs with.

Knows no endpoint. The first model answers where a request names none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dovetail.serve.api.served import ServedModel
from dovetail.serve.engine.base import Engine
from dovetail.serve.errors import UserError
from dovetail.serve.govern.card.keeper import CardKeeper
from dovetail.serve.types import Stats


@dataclass(frozen=True)
class Hosted:
    """A model and the engine that runs it. ``parent``: the model that it is an adapter of; its name is the adapter's then."""

    served: ServedModel
    engine: Engine
    parent: str | None = None

    @property
    def adapter(self) -> str | None:
        """The adapter that its requests name."""
        return self.served.name if self.parent is not None else None


class Models:
    """All models of a server. Adapters come and go while it runs. ``card``: the keeper of the card that names them all."""

    def __init__(self, first: Hosted, others: Iterable[Hosted] = (), card: CardKeeper | None = None) -> None:
        self.first = first
        self._card = card
        self._by_name = {first.served.name: first}
        for each in others:
            self.add(each)

    def __iter__(self) -> Iterator[Hosted]:
        return iter(tuple(self._by_name.values()))

    def find(self, name: str) -> Hosted | None:
        """The model of exactly this name."""
        return self._by_name.get(name)

    def add(self, hosted: Hosted) -> None:
        """Raises UserError where the name is taken."""
        if hosted.served.name in self._by_name:
            raise UserError(f"There is a model {hosted.served.name!r} here already.", code="name_taken", param="model")
        self._by_name[hosted.served.name] = hosted

    def add_adapter(self, name: str, parent: Hosted, directory: Path) -> Hosted:
        """Serve ``parent`` with an adapter that its engine has loaded, in place of another adapter of that name."""
        adapted = Hosted(dataclasses.replace(parent.served, name=name), parent.engine, parent.served.name)
        self._by_name[name] = adapted
        if self._card is not None:
            self._card.add_adapter(name, parent.served.name, directory)
        return adapted

    def remove(self, name: str) -> None:
        """Forget an adapter; requests under way keep it."""
        del self._by_name[name]
        if self._card is not None:
            self._card.remove(name)

    def fingerprint_of(self, hosted: Hosted) -> str | None:
        """What the card calls this one; None: no card speaks of it."""
        return self._card.fingerprint_of(hosted.served.name) if self._card is not None else None

    def stats(self) -> Stats:
        """The figures of all engines together."""
        engines = {id(each.engine): each.engine for each in self}
        return total([engine.stats() for engine in engines.values()])


def total(figures: list[Stats]) -> Stats:
    """The sum of every figure."""
    if len(figures) == 1:
        return figures[0]
    reasons = {reason for each in figures for reason in each.finished}
    sums = {
        field: sum(getattr(each, field) for each in figures) for field in Stats.__struct_fields__ if field != "finished"
    }
    finished = {reason: sum(each.finished.get(reason, 0) for each in figures) for reason in sorted(reasons)}
    return msgspec.convert({**sums, "finished": finished}, Stats)
