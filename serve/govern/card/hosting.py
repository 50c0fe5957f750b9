"""One model or adapter that a server hosts: its facts, what its engine says of it, and whether its files are what was read."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.weights.files import WeightsProblem, digest_of, digests_of, licence_of

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.card")


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What the engine says of the model it has loaded."""

    architecture: str
    parameters: int
    weight_bytes: int
    dtype: str
    kernels: str


Loading = Callable[[], Loaded | None]
"""What the engine says of its model now; None: it is loading."""


class Hosting:
    """Its methods read files, and may be called from any thread; never on an event loop.

    ``read``: the digest of the model's files, where that takes more than reading them one by one. Raises WeightsProblem.
    """

    def __init__(self, facts: Facts, loaded: Loading, read: Callable[[], str] | None = None) -> None:
        self.facts = facts
        self.loaded = loaded
        self._read = read if read is not None else lambda: digest_of(digests_of(facts.directory))
        self._at_start = {path: _state(path) for path in facts.watched}
        self._weights = facts.weights
        self._reader: threading.Thread | None = None

    def changed(self) -> list[Path]:
        """Files that are no longer what the server read."""
        return [path for path, before in self._at_start.items() if _state(path) != before]

    def begin(self) -> threading.Thread | None:
        """Begin to read the digest of the model's files, unless it is known; who reads it."""
        if self._weights is None and self._reader is None:
            self._reader = threading.Thread(target=self._read_weights, name="card-digest", daemon=True)
            self._reader.start()
        return self._reader

    @property
    def weights(self) -> str | None:
        """The digest of the model's files. Large ones take minutes: until then it is not known."""
        return self._weights

    def adapter(self, name: str, directory: Path) -> Hosting:
        """This model with the LoRA adapter in a directory."""
        files = sorted(path for path in directory.iterdir() if path.is_file())
        facts = dataclasses.replace(
            self.facts,
            model=name,
            parent=self.facts.model,
            created=max((int(path.stat().st_mtime) for path in files), default=0),
            directory=directory,
            configuration={**self.facts.configuration, "adapter of": self.facts.fingerprint},
            watched=tuple(files),
            weights=None,
            licence=licence(directory),
        )
        return Hosting(facts, self.loaded)

    def _read_weights(self) -> None:
        try:
            self._weights = self._read()
        except (WeightsProblem, OSError) as error:
            log.warning("the model's files have no digest", model=self.facts.model, why=str(error))


def licence(directory: Path) -> str:
    """As the model's directory names it."""
    try:
        return licence_of(directory)
    except (OSError, ValueError):
        return "not named"


def _state(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
